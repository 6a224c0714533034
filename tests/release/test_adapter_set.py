"""Switching adapters: each time the scores of an adapter's own checkpoint, bit for bit."""

import pytest
import torch
from fine_tuned import base_of, tuned
from support import LetterEncoder, RestoredRun

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.release.adapter_checkpoints import take_adapter
from recbole_mpo.release.adapter_set import AdapterSet

HISTORIES = torch.tensor([[3, 1, 2], [5, 0, 0]]), torch.tensor([3, 1])


@torch.no_grad()
def scores(model):
    vectors = model.eval().encode_items()
    states = model.encode_sequences(vectors, *HISTORIES)
    return model.add_evidence(model.score(states, vectors), *HISTORIES)


@pytest.fixture
def adapters(tiny_settings, tmp_path):
    """Makes a base and adapters of it; returns the base, the adapters, and the checkpoints by name."""

    def make(**strategies):
        base = base_of(tiny_settings, tmp_path)
        paths, checkpoints = {}, {}
        for name, (strategy, others) in strategies.items():
            checkpoints[name], _ = tuned(tiny_settings, tmp_path, base, strategy, **others)
            paths[name] = tmp_path / f"{name}.safetensors"
            take_adapter(checkpoints[name], base, paths[name])
        return base, paths, checkpoints

    return make


@pytest.fixture
def places(tiny_settings):
    """Where the data are, which no adapter says."""
    return {key: tiny_settings[key] for key in ("data_path", "cache_dir")}


@pytest.mark.parametrize("strategy", ["light", "lora", "evidence"])
def test_there_and_back_gives_the_same_bits(adapters, strategy, places):
    base, paths, checkpoints = adapters(a=(strategy, {}), b=(strategy, {"seed": 8, "learning_rate": 0.01}))
    shops = AdapterSet.load(base, paths, places)
    expected = {name: scores(RestoredRun(path).model) for name, path in checkpoints.items()}
    assert not torch.equal(expected["a"], expected["b"])
    assert shops.current == "a" and torch.equal(scores(shops.model), expected["a"])
    parameters = dict(shops.model.named_parameters())
    for name in ("b", "a", "a", "b"):
        shops.switch(name)
        assert shops.current == name and torch.equal(scores(shops.model), expected[name])
    # In place: whatever holds the model or its parameters sees the new weights.
    assert all(parameters[name] is parameter for name, parameter in shops.model.named_parameters())


def test_recommendations_are_of_the_present_adapter(adapters, places):
    base, paths, _ = adapters(a=("light", {}), b=("light", {"seed": 8, "learning_rate": 0.01}))
    shops = AdapterSet.load(base, paths, places)
    first = shops.recommender().recommend([["i1", "i2"]], 5)
    shops.switch("b")
    assert shops.recommender().recommend([["i1", "i2"]], 5) != first
    shops.switch("a")
    assert shops.recommender().recommend([["i1", "i2"]], 5) == first


def test_weights_that_are_the_same_in_all_are_not_held_twice(adapters, places):
    base, paths, _ = adapters(a=("light", {}), b=("light", {"seed": 8}))
    shops = AdapterSet.load(base, paths, places)
    trained = [name for name, parameter in shops.model.named_parameters() if parameter.requires_grad]
    assert shops.differing and set(shops.differing) <= set(trained)


def test_names_are_checked_and_merged_weights_left_alone(adapters, places):
    base, paths, _ = adapters(alpha=("light", {}))
    shops = AdapterSet.load(base, paths, places)
    with pytest.raises(ConfigError, match="no adapter is named 'alfa' .did you mean 'alpha'"):
        shops.switch("alfa")
    with merged(shops.model), pytest.raises(RuntimeError):
        shops.switch("alpha")
    with pytest.raises(ConfigError, match="at least one"):
        AdapterSet.load(base, {}, places)


@pytest.mark.parametrize(
    "second, message",
    [
        (("lora", {}), "b.safetensors has other weights than .*, such as .*make another set"),
        (("light", {"temperature": 0.1}), "would compute something else .*: temperature is 0.1, not 0.07"),
    ],
)
def test_adapters_that_cannot_share_a_model_are_refused(adapters, second, message, places):
    base, paths, _ = adapters(a=("light", {}), b=second)
    with pytest.raises(CheckpointError, match=message):
        AdapterSet.load(base, paths, places)


class TestOtherItems:
    """Two shops with other items, whose vectors come from their features."""

    @pytest.fixture
    def shops(self, tiny_settings, tmp_path, tiny_path, make_dataset, monkeypatch):
        LetterEncoder.replace_all(monkeypatch)
        make_dataset(tiny_path, name="other", items=17, seed=5)
        base = base_of(tiny_settings, tmp_path)
        checkpoints, paths = {}, {}
        for name in ("tiny", "other"):
            checkpoints[name], _ = tuned(tiny_settings, tmp_path, base, "light", dataset=name)
            paths[name] = tmp_path / f"{name}.safetensors"
            take_adapter(checkpoints[name], base, paths[name])
        return base, paths, checkpoints

    def test_they_are_refused_unless_asked_for(self, shops, places):
        base, paths, _ = shops
        with pytest.raises(CheckpointError, match="was trained on other items"):
            AdapterSet.load(base, paths, places)

    def test_vectors_and_states_are_those_of_the_other_shop(self, shops, places):
        base, paths, checkpoints = shops
        own = RestoredRun(checkpoints["other"]).model.eval()
        shared = AdapterSet.load(base, paths, places, other_items=True)
        shared.switch("other")
        with torch.no_grad():
            vectors = shared.model.encode_features(own.item_table.features)
            states = shared.model.encode_sequences(vectors, *HISTORIES)
            assert torch.equal(states, own.encode_sequences(own.encode_features(own.item_table.features), *HISTORIES))
