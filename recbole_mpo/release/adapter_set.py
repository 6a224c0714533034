"""Several adapters of one base in one process: a model that takes on the weights of one after another."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.common.values import suggestion
from recbole_mpo.layers.mpo.convert import mpo_layers
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.starting import read_source, settings_of
from recbole_mpo.release.adapter_checkpoints import whole_weights
from recbole_mpo.release.adapter_files import read_adapter
from recbole_mpo.release.adapter_parts import same_bits
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.trainer.data_identity import check_identity

# With another value of one of these the same weights compute something else.
COMPUTING = (
    *("temperature", "n_heads", "hidden_act", "layer_norm_eps", "lora_alpha", "item_input", "id_side", "cross_task"),
    *("fuse", "evidence", "evidence_window", "evidence_entries", "recent_weights"),
    *("text_encoder", "text_pooling", "feature_center", "feature_scale"),
)


class AdapterSet:
    """One model, and the weights of several adapters that it can take on in milliseconds.

    In memory are the model and, per adapter, only the weights in which the adapters differ from one another.

    Args:
        experiment: what builds the model and its data.
        model: the model, which has the weights of ``current``.
        weights: all weights by adapter and name.
        current: name of the adapter whose weights the model has.
    """

    def __init__(self, experiment: Experiment, model, weights: Mapping[str, dict[str, Tensor]], current: str):
        self.experiment, self.model, self.current = experiment, model, current
        self._targets = model.state_dict(keep_vars=True)
        first = weights[current]
        others = [values for name, values in weights.items() if name != current]
        self.differing = [name for name in first if not all(same_bits(first[name], values[name]) for values in others)]
        """Names of the weights that ``switch`` changes."""
        self._values = {adapter: {name: whole[name] for name in self.differing} for adapter, whole in weights.items()}

    @classmethod
    def load(
        cls,
        base: str | Path,
        adapters: Mapping[str, str | Path],
        overrides: dict | None = None,
        other_items: bool = False,
    ) -> "AdapterSet":
        """Return a set whose model has the weights of the first adapter.

        Args:
            base: file of the base of all of them.
            adapters: files of the adapters by name.
            overrides: settings that override those of the first adapter.
            other_items: whether the other adapters may be of other items. Then the vectors of their items are what
                ``model.encode_features`` gives after ``switch``; those of ``model.encode_items`` are of the first
                adapter's items.

        Raises:
            CheckpointError: a file cannot be used, or the adapters cannot share one model.
            ConfigError: there is no adapter, or the settings do not fit together.
            DataError: the dataset of the first adapter cannot be read.
        """
        if not adapters:
            raise ConfigError("a set of adapters needs at least one")
        source = read_source(Path(base)).weights
        states = {name: _state_of(path, source, base) for name, path in adapters.items()}
        first, state = next(iter(states.items()))
        settings = {"show_progress": False, **(overrides or {})}
        experiment = Experiment.with_config(*make_config(**settings_of(state, adapters[first], settings)))
        model = experiment.restore_model(state, adapters[first], allows_edits=True).eval()
        for name, other in states.items():
            _check_shares_model(other, state, f"adapter {adapters[name]}", f"adapter {adapters[first]}")
            if name != first:
                _check_items(other, model, adapters[name], other_items)
        return cls(experiment, model, {name: other["state_dict"] for name, other in states.items()}, first)

    @torch.no_grad()
    def switch(self, name: str):
        """Give the model the weights of an adapter, in place.

        What was computed before, such as item vectors and a ``Recommender``, is still of the adapter before.

        Raises:
            ConfigError: there is no adapter of this name.
            RuntimeError: the model's weights are merged at the moment.
        """
        if name not in self._values:
            hint = suggestion(name, self._values)
            raise ConfigError(f"no adapter is named {name!r}{hint}; there are {', '.join(self._values)}")
        for layer in mpo_layers(self.model).values():
            layer.refuse_while_held("switching adapters")
        for weight, value in self._values[name].items():
            self._targets[weight].copy_(value)
        self.current = name

    def recommender(self) -> Recommender:
        """Return a recommender with the present weights, which computes all item vectors; it ends with ``switch``.

        Raises:
            DataError: the model cannot recommend.
        """
        return Recommender.of(self.experiment, self.model)


def _state_of(path: str | Path, source: dict[str, Tensor], base: str | Path) -> dict:
    adapter = read_adapter(path)
    return {**adapter.content, "state_dict": whole_weights(adapter, source, path, base)}


def _check_shares_model(state: dict, first: dict, label: str, first_label: str):
    """Refuse an adapter with other names or shapes of weights than the first, or with settings that compute otherwise.

    Raises:
        CheckpointError: the message names what differs.
    """
    shapes, expected = (
        {name: tuple(weight.shape) for name, weight in content["state_dict"].items()} for content in (state, first)
    )
    others = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
    if others:
        raise CheckpointError(
            f"{label} has other weights than {first_label}, such as {others[0]}: adapters of one strategy share a "
            "model; make another set for this one"
        )
    keys = [key for key in COMPUTING if state["config"].get(key) != first["config"].get(key)]
    if keys:
        values = ", ".join(f"{key} is {state['config'].get(key)}, not {first['config'].get(key)}" for key in keys)
        raise CheckpointError(f"{label} would compute something else in the model of {first_label}: {values}")


def _check_items(state: dict, model, path: str | Path, other_items: bool):
    """Refuse an adapter of other items than the model's, unless nothing of the model depends on them."""
    if not other_items:
        check_identity(state, model, path, allows_edits=True)
    elif not model.scores_text_alone or model.evidence is not None:
        raise CheckpointError(
            f"adapter {path} may not be of other items: only models that score by text alone, without evidence, have "
            "no part that belongs to the items"
        )
