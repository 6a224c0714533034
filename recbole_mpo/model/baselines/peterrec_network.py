"""Parts of PeterRec: what its stages train, its causal convolutional encoder, and its heads.

Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020.

Shapes: N items (row 0 is PAD), D hidden, R rows, L length of a row, W of the R * L places, M of the N items, C classes
(row 0 is PAD).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.convolution import PATCH_FORMS, DilatedConvolutions, Patch, Predecessors
from recbole_mpo.model.item_encoder import take
from recbole_mpo.model.scoring import InnerProductScoring

STAGES = ("pretrain", "finetune")
MODES = ("peterrec", "FineCLS", "FineLast1", "FineLast2", "FineAll", "PeterZero")
PATCHED = ("peterrec", "PeterZero")


@dataclass(frozen=True)
class Adaptation:
    """What a stage adds to the network, and what it trains.

    Attributes:
        stage: setting ``train_stage``, spelt as in ``STAGES``.
        mode: setting ``finetune_mode``, spelt as in ``MODES``.
        patch_form: setting ``patch_form``, spelt as in ``PATCH_FORMS``.
        patch_width: size of a patch's bottleneck.
        starts_at_zero: whether patches have no effect before they are trained.
        trains_norms: whether the second norm of each block is trained with the patches.
        reads_token: whether the state that predicts is that of a token after the history.
        sees_both_sides: whether states also see later items, with ``pretrain_mode: masked``.
    """

    stage: str
    mode: str
    patch_form: str
    patch_width: int
    starts_at_zero: bool
    trains_norms: bool
    reads_token: bool
    sees_both_sides: bool

    @classmethod
    def of(cls, config) -> "Adaptation":
        """Return the adaptation that the settings describe."""
        stage = _choice(config, "train_stage", STAGES)
        return cls(
            stage,
            _choice(config, "finetune_mode", MODES),
            _choice(config, "patch_form", PATCH_FORMS),
            config["hidden_size"] // config["patch_reduction"],
            config["patch_zero_init"],
            config["patch_layer_norm"],
            stage == "finetune" and config["cls_token"],
            config["pretrain_mode"] == "masked",
        )

    @property
    def is_patched(self) -> bool:
        """Whether the blocks have patches."""
        return self.stage == "finetune" and self.mode in PATCHED

    def trained_prefixes(self, blocks: int) -> tuple[str, ...]:
        """Return the prefixes of the names of trained parameters, in a network with this number of blocks."""
        if self.stage == "pretrain" or self.mode == "FineAll":
            return ("",)
        last = f"convolutions.blocks.{blocks - 1}."
        norms = [f"convolutions.blocks.{number}.ln2." for number in range(blocks if self.trains_norms else 0)]
        trained = {
            "FineCLS": (),
            "FineLast1": (f"{last}conv2.", f"{last}ln2."),
            "FineLast2": (last,),
            "peterrec": ("patches.", "cls_vector", *norms),
        }
        return ("head.", "evidence.", *trained["peterrec" if self.mode in PATCHED else self.mode])


def network_of(config, adaptation: Adaptation) -> dict[str, nn.Module | nn.Parameter]:
    """Return the blocks, and the patches and the token that an adaptation adds, by name.

    Raises:
        ConfigError: ``patch_reduction`` is larger than ``hidden_size``.
    """
    hidden = config["hidden_size"]
    if adaptation.patch_width < 1:
        raise ConfigError(f"patch_reduction {config['patch_reduction']} is larger than hidden_size {hidden}")
    convolutions = DilatedConvolutions(hidden, config["kernel_size"], config["dilations"])
    modules: dict[str, nn.Module | nn.Parameter] = {"convolutions": convolutions}
    if adaptation.is_patched:
        shape = (hidden, adaptation.patch_width, adaptation.patch_form, adaptation.starts_at_zero)
        modules["patches"] = nn.ModuleList(nn.ModuleList(Patch(*shape) for _ in range(2)) for _ in convolutions.blocks)
    if adaptation.reads_token:
        modules["cls_vector"] = nn.Parameter(torch.empty(hidden).normal_(std=config["initializer_range"]))
    return modules


class ConvolutionalSequenceEncoder:
    """NextItNet's blocks over the first half of the item vectors, with the patches and token of an adaptation.

    Args:
        config: settings of the run.
        adaptation: what the stage adds.

    Attributes:
        modules: the modules that the model registers, by name and in this order.

    Raises:
        ConfigError: ``patch_reduction`` is larger than ``hidden_size``.
    """

    def __init__(self, config, adaptation: Adaptation):
        self.hidden_size = config["hidden_size"]
        self.modules: dict[str, nn.Module | nn.Parameter] = network_of(config, adaptation)

    def states(
        self,
        item_vectors: Tensor,
        items_RL: Tensor,
        positions_RL: Tensor,
        starts_RL: Tensor | None = None,
        places_W: Tensor | None = None,
    ) -> Tensor:
        """Return the states [W, D] of the given places, or [R, L, D] of all.

        With a token, each state is that of a token after the prefix that ends at the place. The positions are enough to
        separate histories, so ``starts_RL`` is not used.
        """
        item_count = items_RL.numel()
        states_SD = F.embedding(items_RL.flatten(), item_vectors[:, : self.hidden_size])
        convolutions, patches = self.modules["convolutions"], self.modules.get("patches")
        if "cls_vector" in self.modules:
            ends_W = torch.arange(item_count, device=items_RL.device) if places_W is None else places_W
            states_SD = torch.cat([states_SD, self.modules["cls_vector"].expand(len(ends_W), -1)])
            states_SD = convolutions(states_SD, Predecessors(positions_RL, ends_W), patches)[item_count:]
        else:
            states_SD = convolutions(states_SD, Predecessors(positions_RL), patches)
            states_SD = states_SD if places_W is None else states_SD.index_select(0, places_W)
        return states_SD.view(*items_RL.shape, -1) if places_W is None else states_SD


class HeadScoring(InnerProductScoring):
    """Scores are inner products with the vectors of a head, which are stored beside those that the network reads.

    Args:
        head: vectors of items [N, D].
        adds_text: whether the vectors that the network reads are added to those of the head.
    """

    def __init__(self, head: nn.Embedding, adds_text: bool):
        self.adds_text = adds_text
        self.modules: dict[str, nn.Module] = {"head": head}

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return the second half of the item vectors, which is the head's [N, D]."""
        return item_vectors_ND[:, self.modules["head"].embedding_dim :]

    def rows(self, rows: slice | Tensor, vectors_MD: Tensor) -> Tensor:
        """Return both vectors of items side by side [M, 2 D]."""
        scored_MD = take(self.modules["head"].weight, rows)
        return torch.cat([vectors_MD, scored_MD + vectors_MD if self.adds_text else scored_MD], dim=1)

    def rows_of_text(self, vectors_MD: Tensor) -> Tensor:
        """Return both vectors [M, 2 D] of items that have text but no id; both are the text's vector."""
        return torch.cat([vectors_MD, vectors_MD], dim=1)

    def id_scores(self, queries_BX: Tensor, rows_R: Tensor, vectors_RX: Tensor, ids_RD: Tensor | None) -> Tensor | None:
        """Return the part [B, R] of scores that the head's own vectors give."""
        return queries_BX @ take(self.modules["head"].weight, rows_R).t()


class ClassScoring(InnerProductScoring):
    """Scores of classes of users are inner products with the vectors of a head; no item is scored.

    Args:
        head: vectors of classes [C, D].
    """

    adds_text: ClassVar[bool] = False

    def __init__(self, head: nn.Embedding):
        self.modules: dict[str, nn.Module] = {"head": head}

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return the head's vectors [C, D]."""
        return self.modules["head"].weight


def _choice(config, key: str, choices: tuple[str, ...]) -> str:
    """Return the choice that a setting names in any capitalisation, spelt as in ``choices``."""
    return next(choice for choice in choices if choice.lower() == config[key].lower())
