"""PeterRec: a pre-trained convolutional network, adapted to other items by patches while it stays as it is.

Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020.
How this differs from the published code: docs/models.md.

Shapes: N items (row 0 is PAD), F feature, D hidden, R rows, L length of a row, P = R * L places, W wanted ones.
"""

from logging import getLogger

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.common.values import check_choice
from recbole_mpo.layers.convolution import PATCH_FORMS, CausalConvolution, DilatedConvolutions, Patch, Predecessors
from recbole_mpo.model.sequential import TextSequentialRecommender, take
from recbole_mpo.text.index_files import raw_names
from recbole_mpo.text.item_features import text_path

STAGES = ("pretrain", "finetune")
MODES = ("peterrec", "FineCLS", "FineLast1", "FineLast2", "FineAll", "PeterZero")
PATCHED = ("peterrec", "PeterZero")
# What fine-tuning starts anew, whatever the checkpoint holds.
FRESH = ("patches.", "cls_vector", "head.")
# A checkpoint of other sizes would fail name by name; of another input it would not even fail.
SAME_AS_SOURCE = ("item_input", "hidden_size", "kernel_size", "dilations")
# What makes features comparable, of an encoder and of files.
FEATURES = ("feature_center", "feature_scale")
ENCODER = ("text_encoder", "text_pooling")


class PeterRec(TextSequentialRecommender):
    """NextItNet's blocks on an item table or on projected text; ``train_stage`` says what is trained.

    ``pretrain``: everything, each position predicting the next item. ``finetune``: a new head, and what
    ``finetune_mode`` chooses; a token stands behind a history, whose last state is the user's, or with ``cls_token``
    false the last item's state as in pre-training.

    An item has two vectors, side by side in a row [2 D] of :meth:`encode_items`: the one that the network reads, and
    the head's, which is scored.
    """

    needs_packed = True
    item_inputs = ("id", "text")

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if self.item_input == "id":
            index_file = text_path(config).with_suffix(".item2index")
            self.item_names = raw_names(index_file, dataset.field2id_token[dataset.iid_field])
            if self.stage == "pretrain":
                # Checkpoints keep them: other data number the same items otherwise.
                self.other_parameter_name = ["item_names"]
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(self.trained_prefixes()))
        self._log_stage()

    def _read_settings(self, config):
        self.stage = _choice(config, "train_stage", STAGES)
        self.mode = _choice(config, "finetune_mode", MODES)
        self.patch_form = _choice(config, "patch_form", PATCH_FORMS)
        self.zero_patches = config["patch_zero_init"]
        self.trains_layer_norm = config["patch_layer_norm"]
        self.has_token = self.stage == "finetune" and config["cls_token"]
        self.head_text = self.uses_text and config["head_text"]
        self.patch_width = self.hidden_size // config["patch_reduction"]
        self.has_feature_file = bool(config["feature_file"])
        features = FEATURES + ENCODER * (not self.has_feature_file) if self.uses_text else ()
        self.source_settings = {key: config[key] for key in SAME_AS_SOURCE + features}
        self.dataset_name = config["dataset"]
        if self.patch_width < 1:
            raise ConfigError(
                f"patch_reduction {config['patch_reduction']} leaves nothing of hidden_size {self.hidden_size}"
            )
        dilations = config["dilations"]
        if not (isinstance(dilations, list) and dilations and all(type(d) is int and d > 0 for d in dilations)):
            raise ConfigError(f"dilations must be a list of whole numbers from 1 on, one a block, not {dilations!r}")
        if config["kernel_size"] < 2:
            raise ConfigError("kernel_size must be at least 2: with 1 no position sees another")

    @property
    def is_patched(self) -> bool:
        """Whether the blocks have patches."""
        return self.stage == "finetune" and self.mode in PATCHED

    @property
    def scores_text_alone(self) -> bool:
        """Whether an item that has text and no id can be recommended: where the head reads text."""
        return self.head_text

    def _build_adaptor(self, config, feature_size: int):
        self.text_projection = nn.Linear(feature_size, self.hidden_size)

    def _merged_adaptor(self):
        return None

    def _build_sequence_encoder(self, config):
        self._read_settings(config)
        hidden = self.hidden_size
        self.convolutions = DilatedConvolutions(hidden, config["kernel_size"], config["dilations"])
        if self.is_patched:
            self.patches = nn.ModuleList(
                nn.ModuleList(Patch(hidden, self.patch_width, self.patch_form) for _ in range(2))
                for _ in config["dilations"]
            )
        if self.has_token:
            self.cls_vector = nn.Parameter(torch.empty(hidden).normal_(std=self.initializer_range))
        self.head = nn.Embedding(self.n_items, hidden)

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, CausalConvolution):
            module.weight.data.normal_(mean=0.0, std=self.initializer_range)
        if isinstance(module, Patch) and self.zero_patches:
            module.up.weight.data.zero_()

    def trained_prefixes(self) -> tuple[str, ...]:
        """What the names of trained parameters begin with."""
        if self.stage == "pretrain" or self.mode == "FineAll":
            return ("",)
        last = f"convolutions.blocks.{len(self.convolutions.blocks) - 1}."
        chosen = {
            "FineCLS": (),
            "FineLast1": (f"{last}conv2.", f"{last}ln2."),
            "FineLast2": (last,),
            "peterrec": ("patches.", "cls_vector", *self._second_norms()),
        }
        return ("head.", "memory.", *chosen["peterrec" if self.mode in PATCHED else self.mode])

    def _second_norms(self) -> list[str]:
        count = len(self.convolutions.blocks) if self.trains_layer_norm else 0
        return [f"convolutions.blocks.{number}.ln2." for number in range(count)]

    def _log_stage(self):
        what = "pre-training the network" if self.stage == "pretrain" else f"fine-tuning, {self.mode}"
        getLogger().info("PeterRec: %s", what)
        if self.is_patched:
            patches = _size(self.patches)
            convolved = sum(_size(module) for module in self.modules() if isinstance(module, CausalConvolution))
            share = 100 * patches / convolved
            getLogger().info("patches: %d parameters, %.1f %% of the convolutions' %d", patches, share, convolved)

    def _item_vectors(self, rows, merged) -> Tensor:
        if not self.uses_text:
            return super()._item_vectors(rows, merged)
        return self.text_projection(take(self.item_features, rows))

    def _encode_rows(self, rows, merged) -> Tensor:
        read_ND = super()._encode_rows(rows, merged)
        scored_ND = take(self.head.weight, rows)
        return torch.cat([read_ND, scored_ND + read_ND if self.head_text else scored_ND], dim=1)

    def encode_features(self, features_NF: Tensor, merged=None) -> Tensor:
        """Both vectors [N, 2 D] of items that have text alone; the second is the text's part of the head."""
        vectors_ND = self.text_projection(features_NF)
        return torch.cat([vectors_ND, vectors_ND], dim=1)

    def _encode_positions(self, item_vectors, items, positions, starts=None, wanted=None) -> Tensor:
        """States [W, D] of the wanted places, or [R, L, D] of all.

        With ``cls_token`` each is the state of a token of its own, as if it stood behind that prefix alone.
        """
        states_SD = F.embedding(items.flatten(), item_vectors[:, : self.hidden_size])
        patches = self.patches if self.is_patched else None
        if self.has_token:
            ends = torch.arange(items.numel(), device=items.device) if wanted is None else wanted
            states_SD = torch.cat([states_SD, self.cls_vector.expand(len(ends), -1)])
            states_SD = self.convolutions(states_SD, Predecessors(positions, ends), patches)[items.numel() :]
        else:
            states_SD = self.convolutions(states_SD, Predecessors(positions), patches)
            states_SD = states_SD if wanted is None else states_SD.index_select(0, wanted)
        return states_SD.view(*items.shape, -1) if wanted is None else states_SD

    def encode_sequences(self, item_vectors, item_seq, lengths, every_position=False) -> Tensor:
        """As in the base class; a token is made behind each history, not behind all of its prefixes."""
        rows, length = item_seq.shape
        positions = torch.arange(length, device=item_seq.device).expand(rows, length)
        last = torch.arange(rows, device=item_seq.device) * length + lengths - 1
        return self._encode_positions(item_vectors, item_seq, positions, wanted=None if every_position else last)

    def queries(self, states: Tensor) -> Tensor:
        """States as they are: scores are inner products."""
        return states

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """The second half of item vectors: the head's."""
        return item_vectors[:, self.hidden_size :]

    @property
    def fresh_weights(self) -> tuple[str, ...]:
        """Prefixes of the weights that ``pretrained`` leaves as initialised."""
        return FRESH

    def check_fresh_start(self):
        """Refuses to fine-tune what was never pre-trained.

        Raises:
            ConfigError: the mode freezes the network, and nothing was given to start from.
        """
        if self.stage == "finetune" and self.mode not in ("FineAll", "PeterZero"):
            raise ConfigError(
                f"finetune_mode={self.mode} freezes a network that nothing has trained: give the best.pth of a run "
                "with train_stage=pretrain as pretrained, or choose PeterZero (a random network, on purpose) or FineAll"
            )

    def carry_over(self, state: dict, path) -> dict[str, Tensor]:
        """Weights of a pre-training run's checkpoint that do not fit by name: the input table, whose rows are items.

        Items that the checkpoint does not know keep the vectors they have.

        Raises:
            ConfigError: PeterZero, or no item in common.
            CheckpointError: of a fine-tuned network, of another input or size, or without item names.
        """
        self._check_source(state, path)
        if self.item_input == "text":
            return {}
        table, theirs = self.item_embedding.weight.detach(), state["state_dict"].get("item_embedding.weight")
        if theirs is None or theirs.shape[1] != table.shape[1]:
            raise CheckpointError(f"checkpoint {path} has no item vectors of size {table.shape[1]}")
        if state.get("item_hash") == self.item_hash:
            return {"item_embedding.weight": theirs}
        own, there = self._shared_rows((state.get("other_parameter") or {}).get("item_names") or [], path)
        getLogger().info("pretrained: %d of %d items have a vector there", len(own), self.n_items - 1)
        return {"item_embedding.weight": table.index_copy(0, own, theirs[there])}

    def _shared_rows(self, names: list[str], path) -> tuple[Tensor, Tensor]:
        """Rows of items here and there that have the same name."""
        row_of = {name: row for row, name in enumerate(names) if row and name}
        pairs = [(own, row_of[name]) for own, name in enumerate(self.item_names) if own and name in row_of]
        if not pairs:
            raise ConfigError(
                f"not one item of this data set is known to be among those of {path}: vectors of ids go from one data "
                "set to another by item name, and bare numbers are none (.item2index names them). Pre-train and "
                "fine-tune with item_input=text instead"
            )
        own, there = torch.tensor(pairs).t()
        return own, there

    def _check_source(self, state: dict, path):
        if self.stage == "finetune" and self.mode == "PeterZero":
            raise ConfigError("finetune_mode=PeterZero is a random network on purpose: leave pretrained out")
        source = state.get("config", {})
        if source.get("train_stage") == "finetune":
            raise CheckpointError(f"checkpoint {path} is of a fine-tuned network; start from a pre-training run's")
        for key, wanted in self.source_settings.items():
            if key in source and source[key] != wanted:
                raise CheckpointError(
                    f"checkpoint {path} was trained with {key}={source[key]}, and this run has {wanted}: "
                    "both need the same"
                )
        if self.uses_text and "feature_file" in source and bool(source["feature_file"]) != self.has_feature_file:
            raise CheckpointError(
                f"checkpoint {path} and this run read features of different kinds: one has a feature_file, the other "
                "an encoder; both need the same"
            )
        has_own_axes = self.source_settings.get("text_encoder") == "tfidf-svd"
        if has_own_axes and source.get("dataset") != self.dataset_name:
            getLogger().warning(
                "text_encoder=tfidf-svd makes its features of each data set's own words: what was learned of those of "
                "%s says nothing of these, unless both have the same item text",
                source.get("dataset"),
            )


def _choice(config, key: str, choices: tuple[str, ...]) -> str:
    """The choice that a setting names, in any capitalisation."""
    by_lower = {choice.lower(): choice for choice in choices}
    chosen = by_lower.get(str(config[key]).lower(), config[key])
    check_choice(key, chosen, choices)
    return chosen


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
