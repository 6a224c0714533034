"""What a run's record must hold: the names and types of the values that other code reads.

A record may hold more. Checked on reading, since a record may be damaged, cut short or edited by hand.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

FORMAT_VERSION = 1


class _Part(BaseModel):
    """A part of a record: exact types, no NaN, and keys of other versions are kept."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Targets(_Part):
    valid: int
    test: int


class _Data(_Part):
    files: dict[str, str]
    item_num: int
    targets: _Targets
    test_pairs: str | None = None
    rows_hash: str | None = None


class _Params(_Part):
    total: int | None = None
    trainable: int | None = None


class _Seconds(_Part):
    per_epoch: float | None = None


class _Scale(_Part):
    train_users: int | None = None
    train_rows: int | None = None
    train_tokens: int | None = None
    non_embedding: int | None = None
    steps: int | None = None
    flops: int | None = None


class _StartedFrom(_Part):
    file: str
    sha256: str


# A run that failed early has an empty object where its data would be.
_DataOrNone = Annotated[_Data | None, BeforeValidator(lambda value: None if value == {} else value)]


class _Record(_Part):
    status: str
    model: str
    dataset: str
    seed: int | None
    item_input: str
    data: _DataOrNone
    config: dict[str, Any]
    params: _Params
    valid: dict[str, float]
    test: dict[str, float]
    seconds: _Seconds
    format_version: int = FORMAT_VERSION
    label: str | None = None
    reads: list[str] | None = None
    best_epoch: int | None = None
    peak_memory_mb: float | None = None
    epochs_run: int | None = None
    scale: _Scale | None = None
    hit_epoch_limit: bool | None = None
    pretrained: _StartedFrom | None = None
    recommended: dict[str, float] | None = None
    checkpoint_mb: float | None = None


REQUIRED = tuple(name for name, field in _Record.model_fields.items() if field.is_required())


def fault_of(record) -> str | None:
    """Return what is wrong with the content of a record in a few words, with the field's name; None if it is sound.

    Args:
        record: what the JSON file holds.
    """
    missing = [key for key in REQUIRED if not isinstance(record, dict) or key not in record]
    if missing:
        return f"lacks {', '.join(missing)}; it is not a run's record.json"
    try:
        version = _Record.model_validate(record).format_version
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        return f"is damaged: {field} is {_short(first['input'])}, {first['msg'][0].lower()}{first['msg'][1:]}"
    if version > FORMAT_VERSION:
        return f"has format {version}, but this version reads formats up to {FORMAT_VERSION}: update recbole_mpo"
    return None


def _short(value) -> str:
    # Escaped, because what a damaged file holds must not reach a terminal as it is.
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
