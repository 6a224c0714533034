"""One row: which values it takes, and what the refusal of another says."""

import math

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.setting import Setting

NUMBERS = Setting("weights", "list", each=Setting("weights", "float", at_least=0), at_least=1)


def refusal(setting, value, may_be_left_out=False):
    with pytest.raises(ConfigError) as caught:
        setting.check(value, may_be_left_out)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bool", [True, False]),
        ("int", [0, -3, 2**63 - 1]),
        ("float", [0, 1.5, -2]),
        ("text", ["", "a", 7, 1.5]),
        ("list", [[], [1, "a"], [[1]]]),
        ("mapping", [{}, {"a": 1}]),
    ],
)
def test_values_of_the_kind_are_taken_and_others_are_not(kind, values):
    setting = Setting("key", kind)
    for value in values:
        setting.check(value)
    taken = {"bool": (bool,), "int": (int,), "float": (int, float), "text": (str, int, float)}
    for value in (True, 1, 1.5, "a", [1], {"a": 1}, math.nan, math.inf):
        types = taken.get(kind, (list,) if kind == "list" else (dict,))
        fits = type(value) in types and not (isinstance(value, float) and not math.isfinite(value))
        if not fits:
            assert refusal(setting, value).startswith("key must be ")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "message"),
    [
        ({"at_least": 1}, 1, 0, "key must be at least 1, not 0"),
        ({"above": 0}, 0.1, 0, "key must be above 0, not 0"),
        ({"at_most": 1}, 1, 2, "key must be at most 1, not 2"),
        ({"below": 1}, 0.9, 1, "key must be below 1, not 1"),
        ({"at_least": 0, "at_most": 1}, 1, 1.5, "key must be between 0 and 1, not 1.5"),
        ({"above": 0, "below": 1}, 0.5, 1, "key must be between 0 and 1, both excluded, not 1"),
    ],
)
def test_bounds(bounds, inside, outside, message):
    setting = Setting("key", "float", **bounds)
    setting.check(inside)
    assert refusal(setting, outside) == message


def test_a_number_that_may_be_left_out_is_described_with_its_bounds():
    setting = Setting("key", "int", at_least=0)
    setting.check(None, may_be_left_out=True)
    assert refusal(setting, -1, True) == "key must be a whole number from 0 up, not -1"
    assert refusal(setting, "few", True) == "key must be a whole number from 0 up, not 'few'"
    assert refusal(setting, None) == "key must be a whole number, not empty"


def test_choices_and_their_capitals():
    strict = Setting("form", "text", choices=("csv", "HTML"))
    assert refusal(strict, "html") == "form is 'html'; choose one of csv, HTML"
    assert refusal(strict, None) == "form is None; choose one of csv, HTML"
    Setting("form", "text", choices=("csv", "HTML"), any_case=True).check("html")


@pytest.mark.parametrize("value", [[], ["a"], [1.0, -1.0], 1, [math.inf], [True], None])
def test_lists_of_numbers(value):
    NUMBERS.check([1, 0.5])
    assert refusal(NUMBERS, value) in (
        f"weights must be a list of numbers from 0 up, not {value!r}",
        "weights must be a list of numbers from 0 up, not 1",
    )


def test_what_an_entry_of_a_list_is_can_be_said():
    setting = Setting("sizes", "list", each=Setting("sizes", "int", at_least=1, says="one per block"))
    assert refusal(setting, [1, 0]) == "sizes must be a list of whole numbers from 1 up, one per block, not [1, 0]"
    setting.check([])


def test_a_single_entry_needs_its_row_to_say_so():
    names = Setting("names", "list", single=True, each=Setting("names", "text", choices=("a", "b")))
    names.check("a")
    names.check(["a", "b"])
    assert refusal(names, "c") == "names names 'c'; choose from a, b"
    assert refusal(Setting("names", "list"), "a") == "names must be a list, not 'a'"
    assert refusal(names, 1.5) == "names must be a list of names, not 1.5"


def test_the_keys_of_a_mapping_and_its_example():
    setting = Setting("args", "mapping", keys=("mode", "order"), example={"mode": "full"})
    setting.check({"mode": 1})
    assert refusal(setting, {"modes": 1}) == "unknown key 'modes' in args (did you mean 'mode'?)"
    assert refusal(setting, 5) == "args must be a mapping such as {mode: full}, not 5"


def test_text_is_text_in_the_end():
    assert Setting("label", "text").final(2024) == "2024"
    assert Setting("label", "text").final(None) is None
    assert Setting("size", "int").final(3) == 3
    ids = Setting("ids", "text", joined=True)
    ids.check([0, 1])
    assert ids.final([0, 1]) == "0,1"
    assert refusal(Setting("label", "text"), [0, 1]) == "label must be text, not [0, 1]"


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400])
def test_whole_numbers_that_no_library_takes(value):
    message = refusal(Setting("key", "int"), value)
    assert message.startswith("key must be a whole number of at most 9223372036854775807, not") and len(message) < 300


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[31mred", "tab\tulator", "\u202eback", "a\x00"])
def test_text_is_one_line_that_a_terminal_cannot_obey(text):
    assert refusal(Setting("key", "text"), text) == (f"key must be one line without control characters, not {text!r}")
    Setting("key", "text", control=True).check(text)


def test_text_may_have_to_be_there_and_to_have_a_form():
    setting = Setting("key", "text", filled=True, matches=r"a+", example="aa")
    setting.check("aaa")
    assert refusal(setting, "") == "key must be text that is not empty, not ''"
    assert refusal(setting, None) == "key must be text such as aa, not empty"
    assert refusal(setting, "ab") == "key must be text such as aa, not 'ab'"


class TestMappings:
    ROWS = {"size": Setting("size", "float", above=0), "how": Setting("how", "text", choices=("a", "b"))}
    SETTING = Setting("key", "mapping", keys=ROWS, needs=("size",))

    def test_each_value_is_checked_by_its_row(self):
        self.SETTING.check({"size": 1, "how": "b"})
        assert refusal(self.SETTING, {"size": -1}) == "key.size must be above 0, not -1"
        assert refusal(self.SETTING, {"size": 1, "how": "c"}) == "key.how is 'c'; choose one of a, b"
        assert refusal(self.SETTING, {"size": 1, "how": None}) == "key.how is None; choose one of a, b"

    def test_keys_may_be_unknown_or_missing(self):
        assert refusal(self.SETTING, {"sise": 1}) == "unknown key 'sise' in key (did you mean 'size'?)"
        assert refusal(self.SETTING, {"how": "a"}) == "key needs size"

    def test_one_row_may_be_that_of_all_values(self):
        setting = Setting("key", "mapping", values=Setting("value", "int"))
        setting.check({"any": 1, 2: 3})
        assert refusal(setting, {"any": "x"}) == "key.any must be a whole number, not 'x'"

    def test_another_kind_may_be_accepted_too(self):
        setting = Setting("key", "text", matches="full", example="full", also=self.SETTING)
        setting.check("full")
        setting.check({"size": 2})
        assert refusal(setting, {"size": 0}) == "key.size must be above 0, not 0"
        assert refusal(setting, "none") == "key must be text such as full, not 'none'"


def test_a_list_may_have_a_largest_length():
    setting = Setting("key", "list", at_least=3, at_most=3, each=Setting("entry", "float", at_least=0))
    setting.check([0.8, 0.1, 0.1])
    for value in ([1], [1, 2, 3, 4], [1, 2, -3]):
        assert refusal(setting, value).startswith("key must be a list of numbers")
