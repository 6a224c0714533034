"""What PeterRec is put together from: what its stages train, its convolutional encoder, and a head of its own.

Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020.

Shapes: N items (row 0 is PAD), D hidden, R rows, L length of a row, W wanted places out of R * L, M rows asked for.
"""

from dataclasses import dataclass

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
        stage, mode, patch_form: the settings ``train_stage``, ``finetune_mode`` and ``patch_form``, as they are spelt
            here.
        patch_width: of a patch's bottleneck.
        starts_at_zero: patches change nothing before they are trained.
        trains_norms: the second normalisation of each block is trained with the patches.
        reads_token: the state that predicts is that of a token behind the history.
    """

    stage: str
    mode: str
    patch_form: str
    patch_width: int
    starts_at_zero: bool
    trains_norms: bool
    reads_token: bool

    @classmethod
    def of(cls, config) -> "Adaptation":
        """Read it from the settings."""
        stage = _choice(config, "train_stage", STAGES)
        return cls(
            stage,
            _choice(config, "finetune_mode", MODES),
            _choice(config, "patch_form", PATCH_FORMS),
            config["hidden_size"] // config["patch_reduction"],
            config["patch_zero_init"],
            config["patch_layer_norm"],
            stage == "finetune" and config["cls_token"],
        )

    @property
    def is_patched(self) -> bool:
        """Whether the blocks have patches."""
        return self.stage == "finetune" and self.mode in PATCHED

    def trained_prefixes(self, blocks: int) -> tuple[str, ...]:
        """Return what the names of trained parameters begin with, in a network of so many blocks."""
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
        return ("head.", "memory.", *trained["peterrec" if self.mode in PATCHED else self.mode])


class ConvolutionalSequenceEncoder:
    """NextItNet's blocks over the first half of item vectors, with patches and a token as ``adaptation`` says.

    Attributes:
        modules: what the model registers, by name, in this order.
    """

    def __init__(self, config, adaptation: Adaptation):
        self.hidden_size = hidden = config["hidden_size"]
        if adaptation.patch_width < 1:
            raise ConfigError(f"patch_reduction {config['patch_reduction']} leaves nothing of hidden_size {hidden}")
        convolutions = DilatedConvolutions(hidden, config["kernel_size"], config["dilations"])
        self.modules: dict[str, nn.Module | nn.Parameter] = {"convolutions": convolutions}
        if adaptation.is_patched:
            shape = (hidden, adaptation.patch_width, adaptation.patch_form, adaptation.starts_at_zero)
            self.modules["patches"] = nn.ModuleList(
                nn.ModuleList(Patch(*shape) for _ in range(2)) for _ in convolutions.blocks
            )
        if adaptation.reads_token:
            vector = torch.empty(hidden).normal_(std=config["initializer_range"])
            self.modules["cls_vector"] = nn.Parameter(vector)

    def states(
        self,
        item_vectors: Tensor,
        items_RL: Tensor,
        positions_RL: Tensor,
        starts_RL: Tensor | None = None,
        wanted_W: Tensor | None = None,
    ) -> Tensor:
        """Return the states [W, D] of the wanted places, or [R, L, D] of all; positions alone separate histories.

        With a token each is the state of a token of its own, as if it stood behind that prefix alone.
        """
        places = items_RL.numel()
        states_SD = F.embedding(items_RL.flatten(), item_vectors[:, : self.hidden_size])
        convolutions, patches = self.modules["convolutions"], self.modules.get("patches")
        if "cls_vector" in self.modules:
            ends_W = torch.arange(places, device=items_RL.device) if wanted_W is None else wanted_W
            states_SD = torch.cat([states_SD, self.modules["cls_vector"].expand(len(ends_W), -1)])
            states_SD = convolutions(states_SD, Predecessors(positions_RL, ends_W), patches)[places:]
        else:
            states_SD = convolutions(states_SD, Predecessors(positions_RL), patches)
            states_SD = states_SD if wanted_W is None else states_SD.index_select(0, wanted_W)
        return states_SD.view(*items_RL.shape, -1) if wanted_W is None else states_SD


class HeadScoring(InnerProductScoring):
    """Scores are inner products with vectors of the head's own, held beside those that the network reads.

    Args:
        head: [N, D].
        adds_text: what the network reads is added to the head's rows.
    """

    def __init__(self, head: nn.Embedding, adds_text: bool):
        self.adds_text = adds_text
        self.modules: dict[str, nn.Module] = {"head": head}

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return the second half of item vectors: the head's."""
        return item_vectors_ND[:, self.modules["head"].embedding_dim :]

    def rows(self, rows: slice | Tensor, vectors_MD: Tensor) -> Tensor:
        """Return both vectors of items, side by side [M, 2 D]."""
        scored_MD = take(self.modules["head"].weight, rows)
        return torch.cat([vectors_MD, scored_MD + vectors_MD if self.adds_text else scored_MD], dim=1)

    def rows_of_text(self, vectors_MD: Tensor) -> Tensor:
        """Return both vectors [M, 2 D] of items that have text alone; the second is the text's part of the head."""
        return torch.cat([vectors_MD, vectors_MD], dim=1)


def _choice(config, key: str, choices: tuple[str, ...]) -> str:
    """Return the choice that a setting names, spelt as here; settings name it in any capitals."""
    return next(choice for choice in choices if choice.lower() == config[key].lower())
