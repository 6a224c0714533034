"""Kinds of options: how the text after ``--key=`` is read, and how help shows it.

The YAML reader is imported inside functions: the doctor reads no values and must run without YAML.
"""

import click

from recbole_mpo.common.errors import ConfigError


class Text(click.ParamType):
    """A name, token or path, taken as written: 007 is not a number, and a comma does not make a list.

    Args:
        form: what help shows after ``=``.
    """

    name = "text"
    may_be_empty = True

    def __init__(self, form: str = "VALUE"):
        self.form = form

    def convert(self, value, param, ctx):
        """Return an option's value; a default that is not text is returned unchanged."""
        return self.read(param.opts[0].removeprefix("--"), value) if isinstance(value, str) else value

    def is_none(self, text: str) -> bool:
        """Return whether a text means no value, so that the default is used."""
        return self.may_be_empty and text in ("", "~")

    def read(self, key: str, text: str):
        """Return the value that ``--key=text`` gives.

        Raises:
            ConfigError: the text is not of this kind.
        """
        return text


class Words(Text):
    """Several texts, as ``a,b`` or ``[a,b]``."""

    name = "words"

    def read(self, key: str, text: str) -> list[str]:
        """Return the list of texts."""
        from recbole_mpo.common.values import parse_words

        return parse_words(text)


class Choice(Text):
    """One of several texts."""

    name = "choice"

    def __init__(self, *choices: str):
        super().__init__("|".join(choices))
        self.choices = choices

    def read(self, key: str, text: str) -> str:
        """Return the text if it is one of the choices."""
        from recbole_mpo.common.values import check_choice

        check_choice(key, text, self.choices)
        return text


class Number(Text):
    """A number."""

    name = "number"
    may_be_empty = False

    def __init__(self):
        super().__init__("NUMBER")

    def read(self, key: str, text: str) -> float:
        """Return the number."""
        try:
            return float(text)
        except ValueError as problem:
            raise ConfigError(f"{key} must be a number, not {text!r}") from problem


class Numbers(Text):
    """Several numbers, as ``0.8,0.1,0.1``.

    Args:
        form: what help shows after ``=``.
        may_be_one: whether one number is enough.
    """

    name = "numbers"

    def __init__(self, form: str = "NUMBER,NUMBER", may_be_one: bool = False):
        super().__init__(form)
        self.may_be_one = may_be_one

    def read(self, key: str, text: str) -> list[float]:
        """Return the list of numbers."""
        from recbole_mpo.common.values import parse_value

        value = parse_value(text)
        try:
            return [float(part) for part in ([value] if self.may_be_one and not isinstance(value, list) else value)]
        except (TypeError, ValueError) as problem:
            raise ConfigError(f"{key} must be numbers like {self.form}, not {value!r}") from problem


class Whole(Text):
    """A whole number from ``least`` up."""

    name = "whole number"
    may_be_empty = False

    def __init__(self, least: int = 0):
        super().__init__("NUMBER")
        self.least = least

    def read(self, key: str, text: str) -> int:
        """Return the number."""
        from recbole_mpo.common.values import parse_value

        value = parse_value(text)
        if not isinstance(value, int) or isinstance(value, bool) or value < self.least:
            kind = "a positive whole number" if self.least == 1 else f"a whole number from {self.least} up"
            raise ConfigError(f"{key} must be {kind}, not {value!r}")
        return value


class WholeNumbers(Text):
    """Several whole numbers, as ``1,2,3``, or one."""

    name = "whole numbers"
    may_be_empty = False

    def __init__(self, form: str = "NUMBER,NUMBER"):
        super().__init__(form)

    def read(self, key: str, text: str) -> list[int]:
        """Return the list of numbers."""
        from recbole_mpo.common.values import parse_value

        value = parse_value(text)
        value = value if isinstance(value, list) else [value]
        if not value or any(not isinstance(part, int) or isinstance(part, bool) for part in value):
            raise ConfigError(f"{key} must be whole numbers like {self.form}, not {text!r}")
        return value


class Truth(Text):
    """True or false; the bare ``--key`` is true."""

    name = "truth"
    may_be_empty = False

    def __init__(self):
        super().__init__("true|false")

    def read(self, key: str, text: str) -> bool:
        """Return the truth value."""
        from recbole_mpo.common.values import parse_value

        value = parse_value(text)
        if not isinstance(value, bool):
            raise ConfigError(f"{key} must be true or false, not {value!r}")
        return value
