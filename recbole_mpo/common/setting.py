"""One setting: its row of ``properties/schema.yaml``, and the check of a value against it."""

import math
import re
from dataclasses import dataclass, field, replace

import yaml

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.terminal import has_control_characters
from recbole_mpo.common.values import check_choice, shown, suggestion

KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "text",
    "list": "a list",
    "mapping": "a mapping",
}
PLURALS = {"int": "whole numbers", "float": "numbers", "text": "names"}
LARGEST = 2**63 - 1
# What Python calls the kinds.
KIND_OF_TYPE = {bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "mapping"}


@dataclass(frozen=True)
class Setting:
    """One row; ``properties/schema.yaml`` explains its fields.

    ``has_default`` is false if the row sets no default: RecBole may set one, or the setting may be left out.
    """

    name: str
    kind: str
    models: tuple[str, ...] = ()
    says: str = ""
    has_default: bool = False
    default: object = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    any_case: bool = False
    each: "Setting | None" = None
    single: bool = False
    joined: bool = False
    keys: "tuple[str, ...] | dict[str, Setting]" = ()
    needs: tuple[str, ...] = ()
    values: "Setting | None" = None
    also: "Setting | None" = None
    matches: str = ""
    filled: bool = False
    control: bool = False
    example: object = None
    tune: tuple = ()
    tune_for: dict[str, tuple] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)

    def check(self, value, may_be_left_out: bool = False):
        """Refuse a value that the setting cannot have.

        Args:
            value: the value; None if it is empty.
            may_be_left_out: whether None is allowed, for example because it is the model's default.

        Raises:
            ConfigError: the setting cannot have the value; the message names both.
        """
        if value is None:
            return self._check_empty(may_be_left_out)
        if self.also and self.also._is_of_kind(value):
            return replace(self.also, name=self.name).check(value)
        # No library takes a longer number.
        if self.kind == "int" and type(value) is int and abs(value) > LARGEST:
            raise self._refusal(value, f"a whole number of at most {LARGEST}")
        if not self._is_of_kind(value):
            raise self._refusal(value, self._description(with_range=may_be_left_out))
        if self.choices:
            self._check_choice(value)
        if self.kind in ("int", "float") and not self._is_in_range(value):
            raise self._refusal(value, self._description(with_range=True) if may_be_left_out else self._bounds())
        if self.kind == "list":
            self._check_entries(value)
        if self.kind == "text":
            self._check_text(str(value))
        if self.kind == "mapping":
            self._check_mapping(value)

    def _check_text(self, text: str):
        if has_control_characters(text) and not self.control:
            raise ConfigError(f"{self.name} must be one line without control characters, not {shown(text)}")
        if self.filled and not text:
            raise self._refusal(text, "text that is not empty")
        if self.matches and not re.fullmatch(self.matches, text):
            raise self._refusal(text, self._description())

    def _check_mapping(self, value: dict):
        for key, entry in value.items():
            if self.keys and key not in self.keys:
                raise ConfigError(f"unknown key {key!r} in {self.name}{suggestion(str(key), self.keys)}")
            row = self.keys.get(key) if isinstance(self.keys, dict) else self.values
            if row:
                may_be_left_out = row.has_default and row.default is None
                replace(row, name=f"{self.name}.{key}").check(entry, may_be_left_out)
        for key in self.needs:
            if key not in value:
                raise ConfigError(f"{self.name} needs {key}")

    def _refusal(self, value, description: str) -> ConfigError:
        return ConfigError(f"{self.name} must be {description}, not {shown(value)}")

    def _check_empty(self, may_be_left_out: bool):
        if may_be_left_out:
            return
        if self.choices:
            self._check_choice(None)
        if self.kind in ("bool", "int", "float") or self.filled:
            raise ConfigError(f"{self.name} must be {self._description()}, not empty")
        if self.each and not self.each.choices:
            raise self._refusal(None, self._description())

    def _is_of_kind(self, value) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # A whole number may be too long to be asked.
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return {
            "bool": isinstance(value, bool),
            "int": is_number and isinstance(value, int),
            "float": is_number,
            # A folder or a device may be called 0.
            "text": is_number or isinstance(value, str) or (self.joined and isinstance(value, list)),
            "list": isinstance(value, list)
            or (self.single and isinstance(value, str | int) and not isinstance(value, bool)),
            "mapping": isinstance(value, dict),
        }[self.kind]

    def _check_choice(self, value):
        if self.any_case and str(value).lower() in (choice.lower() for choice in self.choices):
            return
        check_choice(self.name, value, self.choices)

    def _check_entries(self, value):
        entries = value if isinstance(value, list) else [value]
        if self.each and self.each.choices:
            for entry in entries:
                if entry not in self.each.choices:
                    raise ConfigError(f"{self.name} names {shown(entry)}; choose from {', '.join(self.each.choices)}")
        elif self.each and not all(self.each._is_of_kind(entry) and self.each._is_in_range(entry) for entry in entries):
            raise self._refusal(value, self._description())
        if not self._is_in_range(len(entries)):
            raise self._refusal(value, self._description())

    def _is_in_range(self, value) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def _bounds(self) -> str:
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if low is not None and high is not None:
            return f"between {low} and {high}" + (", both excluded" if self.above is not None else "")
        if low is not None:
            return f"above {low}" if self.at_least is None else f"at least {low}"
        return f"below {high}" if self.at_most is None else f"at most {high}"

    def range_words(self) -> str:
        """Return the bounds of a number as words that follow its kind: ``from 1 up``; empty if there are none."""
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least} to {self.at_most}"
        if self.at_least is not None:
            return f"from {self.at_least} up"
        has_none = self.above is None and self.at_most is None and self.below is None
        return "" if has_none else self._bounds()

    def _description(self, with_range: bool = False) -> str:
        words = [KINDS[self.kind]]
        if self.each:
            words += ["of", self.each.plural()]
        if with_range:
            words.append(self.range_words())
        if self.example is not None:
            example = yaml.safe_dump(self.example, default_flow_style=True).removesuffix("...\n").strip()
            words += ["such as", example]
        return " ".join(filter(None, words))

    def plural(self) -> str:
        """Return words for the entries of a list that this row describes: ``whole numbers from 1 up``."""
        words = " ".join(filter(None, (PLURALS[self.kind], self.range_words())))
        return f"{words}, {self.says}" if self.says else words

    def final(self, value):
        """Return a checked value as models see it; a text setting is text even if YAML read it as a number or list."""
        if self.kind != "text" or value is None:
            return value
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)
