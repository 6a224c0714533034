"""Errors of other libraries become one line; those of this package's own lines stay what they are."""

import json

import pandas as pd
import pytest
import torch

from recbole_mpo.common import foreign
from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.foreign import as_config_error, reason


def of_pandas():
    pd.DataFrame({"a": [1]})["rating"]


def of_torch():
    torch.zeros(2) @ torch.zeros(3)


def of_python():
    json.loads("{")


def without_a_word():
    raise NotImplementedError


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (of_pandas, "tiny cannot be read: KeyError 'rating'"),
        (of_torch, "tiny cannot be read: inconsistent tensor size"),
        (of_python, "tiny cannot be read: Expecting property name"),
        (without_a_word, "tiny cannot be read: NotImplementedError"),
    ],
)
def test_an_error_of_a_library_is_one_line_with_its_cause(fail, words):
    with pytest.raises(ConfigError) as caught, as_config_error("tiny cannot be read"):
        fail()
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("problem", [DataError("rows"), KeyboardInterrupt(), SystemExit(1)])
def test_errors_on_purpose_and_ends_pass(problem):
    with pytest.raises(type(problem)) as caught, as_config_error("what"):
        raise problem
    assert caught.value is problem


@pytest.mark.parametrize("mistake", [AttributeError, KeyError, IndexError, NameError, TypeError, AssertionError])
def test_a_mistake_in_this_packages_lines_stays_what_it_is(mistake, monkeypatch):
    def fail():
        raise mistake("a fault")

    with pytest.raises(ConfigError), as_config_error("what"):
        fail()
    monkeypatch.setattr(foreign, "_PACKAGE", foreign.Path(__file__).resolve().parent)
    with pytest.raises(mistake), as_config_error("what"):
        fail()


def test_a_value_that_this_package_refuses_is_one_line(monkeypatch):
    monkeypatch.setattr(foreign, "_PACKAGE", foreign.Path(__file__).resolve().parent)
    with pytest.raises(ConfigError, match="what: must be odd"), as_config_error("what"):
        raise ValueError("must be odd")


@pytest.mark.parametrize(
    ("problem", "words"),
    [(ValueError("a\n  b"), "a b"), (ValueError(), "ValueError"), (KeyError("a"), "KeyError 'a'")],
)
def test_the_reason_is_one_line(problem, words):
    assert reason(problem) == words
