"""What a checkpoint's fields hold, checked when it is read."""

import hashlib
from typing import Annotated, Any, NotRequired, Self

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    NonNegativeInt,
    ValidationError,
    model_validator,
)
from torch import Tensor
from typing_extensions import TypedDict

from recbole_mpo.common.errors import CheckpointError

# What to do about a file that cannot be used.
OTHERS = "use another file, such as last.pth or best.pth of the same run"
# Keys of the part that says which data a model has.
IDENTITY_KEYS = ("item_num", "item_tokens", "feature_size", "item_hash", "feature_hash", "counts_hash")
# Keys of all that a checkpoint says about its data; older versions did not write the last three.
DATA_KEYS = (*IDENTITY_KEYS, "feature_sketch", "fitted_text", "fitted_words")
# NumPy's Mersenne twister has this many words, and does not check a position in them.
TWISTER_WORDS = 624

NonNegativeFloat = Annotated[FiniteFloat, Field(ge=0)]


def _is_bytes(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise ValueError(f"should be bytes in one dimension, found {tensor.dtype} of shape {list(tensor.shape)}")
    return tensor


def _is_words(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.int64 or tensor.shape != (TWISTER_WORDS,) or not 0 <= tensor.min() <= tensor.max() < 2**32:
        raise ValueError(f"should be {TWISTER_WORDS} numbers of 32 bits")
    return tensor


def _is_sketch(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.dim() != 2 or tensor.shape[1] != 2 or not tensor.isfinite().all():
        raise ValueError(f"should be two finite numbers per item, found {tensor.dtype} of shape {list(tensor.shape)}")
    return tensor


def _is_array(tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"should be float32 or bytes, found {tensor.dtype}")
    return tensor


Bytes = Annotated[Tensor, AfterValidator(_is_bytes)]
Sketch = Annotated[Tensor, AfterValidator(_is_sketch)]
Array = Annotated[Tensor, AfterValidator(_is_array)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", arbitrary_types_allowed=True)


class Content(_Strict):
    """What is read of every checkpoint. A foreign file may have the weights alone."""

    state_dict: dict[str, Tensor]
    model: str = ""
    config: dict[str, JsonValue] = {}
    epoch: Annotated[int, Field(ge=-1)] = 0
    item_num: NonNegativeInt | None = None
    item_tokens: Bytes | None = None
    feature_size: NonNegativeInt | None = None
    item_hash: str | None = None
    feature_hash: str | None = None
    counts_hash: str | None = None
    feature_sketch: Sketch | None = None
    fitted_text: dict[str, dict[str, Array]] | None = None
    fitted_words: dict[str, Tensor] | None = None
    other_parameter: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_items(self) -> Self:
        if self.item_tokens is not None:
            # Raises UnicodeDecodeError, which is a ValueError. Not split: there may be ten million.
            count = bytes(self.item_tokens.numpy()).decode().count("\n") + 1
            # RecBole's models that mask items count the mask as one more.
            if self.item_num is not None and not count <= self.item_num <= count + 1:
                raise ValueError(f"item_tokens has {count} items, but item_num is {self.item_num}")
        names = (self.other_parameter or {}).get("item_names", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("other_parameter.item_names should be a list of texts")
        return self


class OwnContent(Content):
    """What this package writes; ``pretrained.pth`` has no settings."""

    format_version: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _check_identity(self) -> Self:
        if "config" in self.model_fields_set and not isinstance(self.config.get("dataset"), str):
            raise ValueError("config.dataset should be a dataset's name")
        if self.item_tokens is not None:
            for key in IDENTITY_KEYS:
                if key not in self.model_fields_set:
                    raise ValueError(f"{key} is missing")
        return self


class Epoch(TypedDict):
    """What was measured in an epoch."""

    __pydantic_config__ = ConfigDict(strict=True, extra="allow")
    epoch: NonNegativeInt
    train_loss: FiniteFloat
    train_seconds: NonNegativeFloat
    valid_seconds: NotRequired[NonNegativeFloat]
    valid: NotRequired[dict[str, FiniteFloat]]


class Optimizer(_Strict):
    """The state of an optimizer of torch."""

    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class NumpyRandom(_Strict):
    """The state of NumPy's global generator."""

    kind: Annotated[str, Field(pattern="^MT19937$")]
    keys: Annotated[Tensor, AfterValidator(_is_words)]
    position: Annotated[int, Field(ge=0, le=TWISTER_WORDS)]
    has_gauss: Annotated[int, Field(ge=0, le=1)]
    gauss: FiniteFloat


class Random(_Strict):
    """The state of the global random generators."""

    python: tuple[int, tuple[int, ...], float | None]
    numpy: NumpyRandom
    torch: Bytes
    cuda: Bytes | None
    threads: Annotated[int, Field(ge=1)]


class Averages(_Strict):
    """The averages of the weights over the steps."""

    steps: NonNegativeInt
    weights: dict[str, Tensor]


class ResumableContent(OwnContent):
    """What ``last.pth`` holds: all that is needed to go on."""

    model: str
    config: dict[str, JsonValue]
    epoch: Annotated[int, Field(ge=-1)]
    optimizer: Optimizer
    cur_step: NonNegativeInt
    best_valid_score: float
    best_valid_result: dict[str, FiniteFloat] | None
    history: list[Epoch]
    pretraining: list[Epoch] = []
    averages: Averages | None = None
    core_stage: NonNegativeInt | None = None
    rng: Random
    loader_rng: Bytes | None

    @model_validator(mode="after")
    def _check_epoch(self) -> Self:
        # -1 is before the first epoch of fine-tuning, when the history is that of pre-training.
        if self.epoch >= 0 and [entry["epoch"] for entry in self.history[-1:]] != [self.epoch]:
            raise ValueError(f"epoch is {self.epoch}, which is not the last of the history")
        return self


def content_hash(state: dict) -> str:
    """Return the sha256 of a checkpoint's names and values, those in tensors included.

    The checksums of the archive are not enough: torch finds its parts in another way than what compares them.
    """
    return hashlib.sha256(repr(_outline(state)).encode("utf-8", errors="backslashreplace")).hexdigest()


def _outline(value):
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        # With one entry or none, any stride counts as contiguous, but not for a view as bytes.
        flat = flat if flat.stride(0) == 1 else flat.clone(memory_format=torch.contiguous_format)
        numbers = flat.view(torch.uint8).numpy()
        return str(value.dtype), list(value.shape), hashlib.sha256(numbers).hexdigest()
    if isinstance(value, dict):
        return [(key, _outline(entry)) for key, entry in value.items()]
    return [_outline(entry) for entry in value] if isinstance(value, list | tuple) else value


def check_content(state: dict, path, resumable: bool = False):
    """Check that the fields of a checkpoint have the types and sizes that are read.

    Args:
        state: content of the file, which has a ``state_dict``.
        path: the file, for the message.
        resumable: whether it must have all that is needed to go on with training.

    Raises:
        CheckpointError: a field is missing or wrong; the message names it.
    """
    is_own = "format_version" in state
    resumable = resumable or (is_own and state.get("optimizer") is not None)
    schema = ResumableContent if resumable else OwnContent if is_own else Content
    try:
        schema.model_validate(state)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))
        reason = error["msg"].removeprefix("Value error, ")
        more = f" (and {problem.error_count() - 1} more)" if problem.error_count() > 1 else ""
        raise CheckpointError(
            f"checkpoint {path} has wrong content: {place}{': ' if place else ''}{reason}{more}; {OTHERS}"
        ) from problem
