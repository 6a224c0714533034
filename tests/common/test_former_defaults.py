"""Settings that older versions did not have, and did otherwise."""

import pytest

from recbole_mpo.common.former_defaults import with_former_defaults


@pytest.mark.parametrize(
    ("model", "settings", "completed"),
    [
        ("UniSRec", {"item_input": "text+id"}, {"item_input": "text+id", "id_side": "both"}),
        ("UniSRec", {"item_input": "text+id", "id_side": "output"}, {"item_input": "text+id", "id_side": "output"}),
        ("UniSRec", {"item_input": "text"}, {"item_input": "text"}),
        ("CCDR", {"item_input": "text+id"}, {"item_input": "text+id"}),
        ("MPORecLight", {"mpo_strategy": None, "epochs": 3}, {"epochs": 3}),
        ("MPORec", {"mpo_strategy": "expand"}, {"mpo_strategy": "expand"}),
    ],
)
def test_what_a_version_did_is_written_out(model, settings, completed):
    before = dict(settings)
    assert with_former_defaults(settings, model) == completed and settings == before
