"""The ``tune`` block of an experiment file: how many trials each row has, and which values they try."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import read_schema, recbole_model_settings
from recbole_mpo.common.setting import Setting
from recbole_mpo.common.values import suggestion
from recbole_mpo.quick_start.configure import READ_WITH
from recbole_mpo.quick_start.planned_run import WITHOUT_EFFECT
from recbole_mpo.quick_start.starting import SIZES
from recbole_mpo.study.matrix import OWN, RUNS, TUNE, Row

_VALUES = Setting("values", "list", at_least=1, example=[0.001, 0.003])
_NAMES = Setting("settings", "list", at_least=1, each=Setting("", "text"))
_BLOCK = Setting(
    TUNE,
    "mapping",
    example={"trials": 8},
    needs=("trials",),
    keys={
        "trials": Setting("trials", "int", at_least=1),
        "seed": Setting("seed", "int", at_least=0, at_most=2**32 - 1),
        "settings": Setting("settings", "mapping", has_default=True, values=_VALUES, also=_NAMES),
    },
)
# Read only where there is evidence; a model without it accepts them.
_OF_EVIDENCE = ("evidence_strength", "evidence_window", "evidence_entries", "evidence_lr_multiplier")
_READ_WITH = (*READ_WITH, (_OF_EVIDENCE, "evidence", None, "evidence"))
# What weights that a run starts from have decided; tuned only where the block names it.
_DECIDED = {*SIZES, "dilations", "kernel_size"}


@dataclass(frozen=True)
class Tuning:
    """The content of a ``tune`` block.

    Attributes:
        trials: number of trials of each row that has something to tune.
        seed: seed of the sampler.
        settings: the values to try, by setting, None for those of the schema; None for all settings of the schema that
            have values worth trying.
    """

    trials: int
    seed: int = 2020
    settings: dict[str, tuple | None] | None = None

    def values_for(self, row: Row, config: Mapping) -> dict[str, tuple]:
        """Return the values that a row tries, by setting; empty if it has nothing to tune.

        What a row gives itself is not tuned; without named settings, neither is what all runs are given, nor what the
        weights that it starts from have decided.

        Args:
            row: the row.
            config: all its settings.
        """
        if not row.tunes:
            return {}
        if self.settings is None:
            fixed = {*row.settings, *(_DECIDED if config.get("pretrained") else ())}
            wanted = dict.fromkeys(key for key in read_schema().settings if key not in fixed)
        else:
            wanted = {key: values for key, values in self.settings.items() if key not in row.own}
        values = {key: _values(row.model, key, given) for key, given in wanted.items() if _uses(row.model, key)}
        values = {key: tried for key, tried in values.items() if tried}
        return {key: tried for key, tried in values.items() if _is_read(row.model, key, config, values)}


def read_tuning(content: dict, overrides: dict, rows: Sequence[Row]) -> Tuning | None:
    """Return what an experiment file says about tuning; None if nothing is to be tuned.

    Args:
        content: content of the file.
        overrides: settings that win over those of the file; ``tune: false`` turns it off.
        rows: the rows.

    Raises:
        ConfigError: the block is wrong, or names a setting that is unknown, that no row uses, that is given for all
            rows, or that cannot have a value; the message names the row.
    """
    given = {**content, **overrides}
    block = given.get(TUNE)
    if block is None or block is False:
        return None
    _BLOCK.check(block)
    settings = block.get("settings")
    if isinstance(settings, list):
        settings = dict.fromkeys(settings)
    elif settings is not None:
        settings = {str(key): tuple(values) for key, values in settings.items()}
    for key, values in (settings or {}).items():
        _check(key, values, rows)
        if key in given:
            raise ConfigError(f"{TUNE}: {key} is also given for all runs; leave it out there, or here")
    return Tuning(**{**{key: value for key, value in block.items() if value is not None}, "settings": settings})


def _check(key: str, values: tuple | None, rows: Sequence[Row]):
    """Refuse a named setting that cannot be tuned, or a value that it cannot have."""
    schema = read_schema()
    if key in OWN or key in WITHOUT_EFFECT:
        why = "the comparison sets it for each run" if key in OWN else "figures do not depend on it"
        raise ConfigError(f"{TUNE}: {key} cannot be tuned, {why}; leave it out")
    using = [row for row in rows if _uses(row.model, key)]
    names = ", ".join(row.name for row in rows)
    if not using and key in schema.settings:
        raise ConfigError(f"{TUNE}: none of the runs uses {key} ({names}); leave it out")
    if not using:
        hint = suggestion(key, [name for name in schema.settings if any(_uses(row.model, name) for row in rows)])
        raise ConfigError(f"{TUNE}: unknown setting {key!r}{hint} for {names}; docs/settings.md lists them all")
    for row in using:
        tried = _values(row.model, key, values)
        if not tried and row.tunes and key not in row.own:
            raise ConfigError(f"{TUNE}: {RUNS}: {row.name}: no values of {key} are known to be worth trying; give them")
        _check_values(key, tried, row)


def _check_values(key: str, tried: tuple, row: Row):
    schema = read_schema()
    setting = schema.settings.get(key) or schema.recbole.get(key)
    for place, value in enumerate(tried):
        if value in tried[:place]:
            raise ConfigError(f"{TUNE}: {key}: {value!r} is given twice")
        try:
            if setting is not None:
                setting.check(value, may_be_left_out=setting.default is None)
        except ConfigError as problem:
            raise ConfigError(f"{TUNE}: {RUNS}: {row.name}: {problem}") from problem


def _uses(model: str, key: str) -> bool:
    schema = read_schema()
    if key in schema.settings:
        return schema.uses(model, key)
    return key in schema.recbole or (schema.is_recboles(model) and key in recbole_model_settings(model))


def _values(model: str, key: str, given: tuple | None) -> tuple:
    """Return the values to try for one setting: those given, or those of the schema."""
    if given is not None:
        return given
    return read_schema().values_worth_trying(model, key) if key in read_schema().settings else ()


def effective_settings(model: str, settings: dict, config: Mapping) -> dict:
    """Return those of some settings that are read beside each other and beside the rest of a run's settings.

    Args:
        model: canonical name of the model.
        settings: the settings that are tried.
        config: all settings of the run without them.
    """
    together = {**config, **settings}
    return {key: value for key, value in settings.items() if _is_read(model, key, together)}


def _is_read(model: str, key: str, config: Mapping, varied: Collection[str] = ()) -> bool:
    """Return whether a setting is read beside the others, whatever the varied ones are."""
    needed = [(other, value) for keys, other, value, _ in _READ_WITH if key in keys and _uses(model, other)]
    return all(
        bool(config.get(other)) if value is None else config.get(other) == value
        for other, value in needed
        if other not in varied
    )
