"""PeterRec: a pre-trained convolutional network that stays frozen while patches adapt it to other items.

Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020.
docs/models.md says how this differs from the published code.

Shapes: N items (row 0 is PAD), D hidden, M targets.
"""

import logging

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.convolution import SequenceConvolution
from recbole_mpo.model.abstract_recommender import ITEM_TABLES, PretrainedWeights
from recbole_mpo.model.baselines.peterrec_both_sides import BothSidesEncoder, MaskedBatch, MaskedItems
from recbole_mpo.model.baselines.peterrec_network import (
    PATCHED,
    Adaptation,
    ClassScoring,
    ConvolutionalSequenceEncoder,
    HeadScoring,
)
from recbole_mpo.model.evidence import make_evidence
from recbole_mpo.model.item_encoder import ItemEncoder, make_text_projection
from recbole_mpo.model.objective import SoftmaxObjective, make_objective
from recbole_mpo.model.sequential import TextSequentialRecommender
from recbole_mpo.text.index_files import raw_names
from recbole_mpo.text.item_features import text_path

logger = logging.getLogger(__name__)

# Settings that must be the same as in pre-training. Other sizes would give an error per name, and another input none.
SAME_AS_SOURCE = ("item_input", "hidden_size", "kernel_size", "dilations", "pretrain_mode")
# What settings were before they existed.
EARLIER = {"pretrain_mode": "causal"}
# Settings that make features comparable: for all features, and for those of an encoder.
FEATURES = ("feature_center", "feature_scale")
ENCODER = ("text_encoder", "text_pooling")


class PeterRec(TextSequentialRecommender):
    """NextItNet's blocks on an item table or on projected text; ``train_stage`` says what is trained.

    With ``pretrain`` everything is trained: with ``pretrain_mode: causal`` each position predicts the next item, with
    ``masked`` each masked item is predicted from those on both sides of it. With ``finetune`` a new head is trained,
    and what ``finetune_mode`` selects. The user's state is then that of a token after the history, or the sum of those
    of a token at both ends; with ``cls_token: false``, that of the last item or of a mask after it, as in pre-training.

    An item has two vectors, side by side in a row [2 D] of ``encode_items``: the one that the network reads, and the
    one of the head, which is used for scores. With ``user_profile`` the head has a vector per class of users instead,
    and an item has one vector.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: ``patch_reduction`` is larger than ``hidden_size``, or settings do not fit ``pretrain_mode``.
    """

    needs_packed = True
    item_inputs = ("id", "text")
    # Fine-tuning initialises these, even if the checkpoint has them.
    fresh_weights = (*ITEM_TABLES, "patches.", "cls_vector", "head.")

    def __init__(self, config, dataset):
        adaptation = Adaptation.of(config)
        items = ItemEncoder(config, dataset, "text_projection", make_text_projection)
        encoder = BothSidesEncoder if adaptation.sees_both_sides else ConvolutionalSequenceEncoder
        sequence = encoder(config, adaptation)
        profile = config["user_profile"]
        head = nn.Embedding(dataset.num(profile or config["ITEM_ID_FIELD"]), config["hidden_size"])
        adds_text = items.uses_text and config["head_text"]
        super().__init__(
            config,
            dataset,
            items=items,
            sequence=sequence,
            scoring=ClassScoring(head) if profile else HeadScoring(head, adds_text),
            objective=_make_objective(config, dataset, adaptation),
            evidence=make_evidence(config, dataset),
        )
        self.adaptation = adaptation
        if "mask_vector" not in sequence.modules:
            self.fresh_weights = (*self.fresh_weights, "mask_vector")
        self.source_settings = self._settings_like_the_source(config)
        self.has_feature_file = bool(config["feature_file"])
        self.dataset_name = config["dataset"]
        if profile:
            self.class_names = dataset.field2id_token[profile].tolist()
            # Kept in checkpoints, since the rows of the head are in this order.
            self.other_parameter_name = ["class_names"]
        if self.item_input == "id":
            index_file = text_path(config).with_suffix(".item2index")
            self.item_names = raw_names(index_file, self.item_tokens)
            if adaptation.stage == "pretrain":
                # Kept in checkpoints, since other datasets number the same items differently.
                self.other_parameter_name = ["item_names"]
        trained = adaptation.trained_prefixes(len(self.convolutions.blocks))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(trained))
        self._log_stage()

    def _settings_like_the_source(self, config) -> dict:
        features = FEATURES + ENCODER * (not config["feature_file"]) if self.uses_text else ()
        return {key: config[key] for key in SAME_AS_SOURCE + features}

    def load_other_parameter(self, para: dict):
        """Set what a checkpoint holds beside weights, by name; refuse other classes of users.

        Raises:
            CheckpointError: the checkpoint has other classes than the file of users.
        """
        if "class_names" in para and para["class_names"] != self.class_names:
            raise CheckpointError(
                f"the checkpoint tells {', '.join(para['class_names'][1:])}, but the file of users has "
                f"{', '.join(self.class_names[1:])}: restore it, or start a new run"
            )
        super().load_other_parameter(para)

    @property
    def scores_text_alone(self) -> bool:
        """Whether an item that has text but no id can be recommended, that is, whether the head reads text."""
        return self.scoring.adds_text

    def predicting_states(self, item_vectors: Tensor, items: Tensor, batch) -> Tensor:
        """Return the states [M, D] that predict a batch's targets; masked items are seen from both sides."""
        if isinstance(batch, MaskedBatch):
            rows, positions = items.flatten(), batch.positions.flatten()
            return self.sequence.masked_states(item_vectors, rows, positions, batch.predicting)
        return super().predicting_states(item_vectors, items, batch)

    def _log_stage(self):
        mode = self.adaptation.mode
        what = "pre-training the network" if self.adaptation.stage == "pretrain" else f"fine-tuning, {mode}"
        logger.info("PeterRec: %s", what)
        if self.adaptation.is_patched:
            patches = _size(self.patches)
            convolved = sum(_size(module) for module in self.modules() if isinstance(module, SequenceConvolution))
            share = 100 * patches / convolved
            logger.info("patches: %d parameters, %.1f %% of the convolutions' %d", patches, share, convolved)

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, with the stage or what is trained, and with the input if it is text."""
        adaptation = Adaptation.of(config)
        details = ["pretrain"]
        if adaptation.stage == "finetune":
            mode = adaptation.mode
            details = [] if mode == "peterrec" else [mode]
            details += [adaptation.patch_form] if mode in PATCHED else []
            details += [] if config["cls_token"] else ["mask" if adaptation.sees_both_sides else "last item"]
            details += [] if config["pretrained"] or mode == "PeterZero" else ["from scratch"]
            details += [config["user_profile"]] if config["user_profile"] else []
        details += ["masked"] if adaptation.sees_both_sides else []
        name = f"{name}{'-text' if config['item_input'] == 'text' else ''} ({', '.join(details)})"
        return super().label(name, config)

    def check_fresh_start(self):
        """Refuse to fine-tune a network that was never trained.

        Raises:
            ConfigError: ``finetune_mode`` freezes the network, and ``pretrained`` is not set.
        """
        mode = self.adaptation.mode
        if self.adaptation.stage == "finetune" and mode not in ("FineAll", "PeterZero"):
            raise ConfigError(
                f"finetune_mode={mode} freezes a network that was never trained: give the best.pth of a run "
                "with train_stage=pretrain as pretrained, or choose PeterZero (a random network, on purpose) or FineAll"
            )

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Return the item table of a pre-training run, with rows in the order of this model's items.

        Items that the source does not have keep their initial vectors. With ``item_input: text`` no table is needed.

        Args:
            source: the checkpoint of the pre-training run.

        Returns:
            The table under its parameter name, or an empty dict.

        Raises:
            ConfigError: the mode is ``PeterZero``, or the datasets have no item name in common.
            CheckpointError: the checkpoint has a fine-tuned network, another input or another size.
        """
        self._check_source(source)
        if self.item_input == "text":
            return {}
        table = self.item_embedding.weight.detach()
        source_table = source.weights.get("item_embedding.weight")
        if source_table is None or source_table.shape[1] != table.shape[1]:
            raise CheckpointError(f"checkpoint {source.path} has no item vectors of size {table.shape[1]}")
        if source.item_hash == self.item_hash:
            return {"item_embedding.weight": source_table}
        rows, source_rows = self._shared_rows(source)
        logger.info("pretrained: %d of %d items have a vector in the checkpoint", len(rows), self.n_items - 1)
        return {"item_embedding.weight": table.index_copy(0, rows, source_table[source_rows])}

    def _shared_rows(self, source: PretrainedWeights) -> tuple[Tensor, Tensor]:
        """Return the rows, in this model and in the source, of the items with the same names."""
        row_of = {name: row for row, name in enumerate(source.item_names) if row and name}
        pairs = [(row, row_of[name]) for row, name in enumerate(self.item_names) if row and name in row_of]
        if not pairs:
            raise ConfigError(
                f"this dataset has no item name in common with {source.path}: vectors of ids are copied by item name, "
                "and bare numbers are not names (.item2index gives names). Pre-train and fine-tune with "
                "item_input=text instead"
            )
        rows, source_rows = torch.tensor(pairs).t()
        return rows, source_rows

    def _check_source(self, source: PretrainedWeights):
        if self.adaptation.stage == "finetune" and self.adaptation.mode == "PeterZero":
            raise ConfigError("finetune_mode=PeterZero uses a random network on purpose: leave pretrained out")
        settings, path = source.settings, source.path
        if str(settings.get("train_stage")).lower() == "finetune":
            raise CheckpointError(f"checkpoint {path} has a fine-tuned network; start from that of a pre-training run")
        for key, value in self.source_settings.items():
            # A file of weights alone tells nothing.
            before = settings.get(key, EARLIER.get(key, value) if settings else value)
            if before != value:
                raise CheckpointError(
                    f"checkpoint {path} was trained with {key}={before}, but this run has {value}: "
                    "both need the same value"
                )
        if self.uses_text and "feature_file" in settings and bool(settings["feature_file"]) != self.has_feature_file:
            raise CheckpointError(
                f"checkpoint {path} and this run read features of different kinds: one has a feature_file, the other "
                "an encoder; both need the same kind"
            )
        is_of_one_corpus = "tfidf-svd" in (self.source_settings.get("text_encoder") or "")
        if is_of_one_corpus and settings.get("dataset") != self.dataset_name:
            logger.warning(
                "text_encoder=tfidf-svd makes features from the words of each dataset: what was learned on %s does not "
                "apply here, unless both datasets have the same item text",
                settings.get("dataset"),
            )


def _make_objective(config, dataset, adaptation: Adaptation) -> nn.Module:
    """Return the loss of the stage."""
    if config["user_profile"]:
        # A class is one of few, and PAD is none.
        return SoftmaxObjective(mask_pad=True)
    objective = make_objective(config, dataset)
    if adaptation.stage != "pretrain" or not adaptation.sees_both_sides:
        return objective
    if config["evidence"]:
        raise ConfigError(
            "evidence reads the items before a target, and pretrain_mode=masked hides items with others on both sides: "
            "leave evidence out; fine-tuning takes it"
        )
    return MaskedItems(objective, config["mask_ratio"])


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
