"""The table of methods: each is described, and each makes its artefact smaller."""

import pytest
from release.compress.tiny_models import tiny_model

from recbole_mpo.release.compress.compressed_files import artefact_bytes, write_compressed
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.methods import METHODS

STRONG = {"mpo": 2, "item-pq": 2}
CONFIG = {"dataset": "tiny"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_does(method):
    assert METHODS[method.name] is method and method.stored
    assert bool(method.strength) == (method.bounds is not None)
    assert method.bounds is None or 0 < method.bounds[0] < method.bounds[1]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_makes_its_artefact_smaller(method, tmp_path):
    if method.name in ("int8", "int4"):
        pytest.importorskip("torchao")
    sizes = {"hidden_size": 64, "inner_size": 64}
    write_compressed(tmp_path / "whole", tiny_model(**sizes), Context(), CONFIG, "")
    model, context = tiny_model(**sizes), Context()
    strength = STRONG.get(method.name, 0.9) if method.bounds else None
    model = method.apply(model, strength, context)
    write_compressed(tmp_path / "small", model, context, CONFIG, method.name)
    small, whole = (artefact_bytes(tmp_path / name)[method.artefact] for name in ("small", "whole"))
    if method.name == "item-pq":
        # With fewer than 256 items every item is a centre: only the codes are smaller.
        assert context.notes["item-pq"]["ratio_of_codes"] == 128
    else:
        assert small < 0.95 * whole
