"""Values as text: YAML files, what stands behind ``--key=``, and the nearest name to a misspelt one."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import (
    as_list,
    check_choice,
    parse_assignments,
    parse_value,
    parse_words,
    read_yaml,
    shown,
    suggestion,
)


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    return name


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-3", 0.001),
            ("1E-3", 0.001),
            ("-2.5e4", -25000.0),
            (".5e1", 5.0),
            ("0.1", 0.1),
            ("3", 3),
            ("true", True),
            ("~", None),
            ("", None),
            ("abc", "abc"),
            ("1e", "1e"),
            ("10,50", [10, 50]),
            ("Hit, NDCG,", ["Hit", "NDCG"]),
            ("1e-3,x", [0.001, "x"]),
            ("[10, 50]", [10, 50]),
            ("[1e-3]", [0.001]),
            ("{mode: full}", {"mode": "full"}),
            ('"a,b"', "a,b"),
            ("a=b", "a=b"),
            ('","', ","),
            ('os.system("x")', 'os.system("x")'),
            ("1/0", "1/0"),
            ("1/2", "1/2"),
        ],
    )
    def test_are_yaml_with_plain_exponents_and_comma_lists(self, text, value):
        parsed = parse_value(text)
        assert parsed == value and type(parsed) is type(value)

    def test_broken_yaml_is_quoted_in_one_line(self):
        with pytest.raises(ConfigError, match=r"value '\[1, 2' is not valid YAML") as caught:
            parse_value("[1, 2")
        assert "\n" not in str(caught.value)

    def test_python_objects_are_refused(self):
        with pytest.raises(ConfigError, match="not valid YAML"):
            parse_value("!!python/object/apply:os.getcwd []")

    @pytest.mark.parametrize(
        "text",
        ["2020-13-45", "9" * 5000, "!!int abc", "!!float abc", "!!timestamp abc", "!!bool abc", "{[1]: 2}", "a: b: c"],
    )
    def test_what_python_cannot_convert_is_one_short_line(self, text):
        with pytest.raises(ConfigError, match="not valid YAML") as caught:
            parse_value(text)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500

    @pytest.mark.parametrize("text", ["[" * 1000 + "]" * 1000, "[" * 30 + "]" * 30, "&a [*a]", "{a: " * 1000])
    def test_what_is_nested_without_end_is_refused(self, text):
        with pytest.raises(ConfigError, match="too deeply|not valid YAML") as caught:
            parse_value(text)
        assert len(str(caught.value)) < 500
        with pytest.raises(ConfigError, match="config file a.yaml is (nested too deeply|not valid YAML)"):
            read_yaml(write("a.yaml", f"load_col: {text}"))

    def test_references_cannot_make_a_short_text_endless(self):
        lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 100)}]" for n in range(1, 12)]
        with pytest.raises(ConfigError, match="config file a.yaml is nested too deeply or too long"):
            read_yaml(write("a.yaml", "\n".join(lines)))

    def test_references_of_usual_size_are_read(self):
        assert read_yaml(write("a.yaml", "a: &x [1]\nb: *x\nc: {<<: {d: 1}, e: 2}")) == {
            "a": [1], "b": [1], "c": {"d": 1, "e": 2}
        }  # fmt: skip

    @pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "a: 1\nb: 2\n'a': 1\n", "c:\n  a: 1\n  a: 1"])
    def test_a_key_that_is_given_twice_is_refused_with_its_lines(self, text):
        with pytest.raises(ConfigError, match=r"a\.yaml is not valid YAML: 'a' is given twice, also in .* line 3"):
            read_yaml(write("a.yaml", text))
        with pytest.raises(ConfigError, match="'a' is given twice"):
            parse_value("{a: 1, a: 2}")

    def test_long_values_are_shown_in_part(self):
        assert shown("ab") == "'ab'" and shown([1]) == "[1]"
        assert len(shown("x" * 10_000)) < 200 and shown("x" * 10_000).startswith("'xxx")


class TestArguments:
    def test_hyphens_and_underscores_are_the_same(self):
        assert parse_assignments(["--learning-rate=1e-3", "--train_batch-size=8"]) == {
            "learning_rate": 0.001,
            "train_batch_size": 8,
        }

    def test_values_keep_their_hyphens_and_further_equal_signs(self):
        assert parse_assignments(["--run-label=a-b=c_d"]) == {"run_label": "a-b=c_d"}

    @pytest.mark.parametrize(
        ("argument", "hint"),
        [
            ("--epochs", "--epochs=VALUE"),
            ("3", "--3=VALUE"),
            ("epochs=3", "--epochs=VALUE"),
            ("-h", "--h=VALUE"),
            ("--", "--key=VALUE"),
        ],
    )
    def test_without_equal_sign_or_dashes_name_the_right_form(self, argument, hint):
        with pytest.raises(ConfigError) as caught:
            parse_assignments([argument])
        assert f"argument {argument!r}" in str(caught.value)
        assert f"write {hint}, with '='" in str(caught.value)

    def test_a_key_given_twice_must_have_one_value(self):
        assert parse_assignments(["--topk=5", "--topk=5"]) == {"topk": 5}
        with pytest.raises(ConfigError, match="--train_mode is given twice, as 'packed' and 'pairwise'"):
            parse_assignments(["--train-mode=packed", "--train_mode=pairwise"])

    @pytest.mark.parametrize("text", ["007", "2018-01-01", "on", "a,b", "1e3"])
    def test_names_and_paths_are_taken_as_written(self, text):
        assert parse_assignments([f"--dataset={text}", f"--data_path={text}"]) == {"dataset": text, "data_path": text}

    def test_the_schemas_texts_are_taken_as_written_and_its_lists_are_not(self):
        arguments = ["--gpu_id=[0,1]", "--run_label=1e3", "--ccdr_source=007", "--freeze=encoder,positions"]
        assert parse_assignments(arguments) == {
            "gpu_id": [0, 1],
            "run_label": "1e3",
            "ccdr_source": "007",
            "freeze": ["encoder", "positions"],
        }

    @pytest.mark.parametrize("text", ["", "~"])
    def test_an_empty_text_is_none(self, text):
        assert parse_assignments([f"--pretrained={text}"]) == {"pretrained": None}


class TestYamlFiles:
    def test_text_in_another_encoding_names_the_file(self):
        with open("latin.yaml", "wb") as file:
            file.write("run_label: caf\xe9".encode("latin-1"))
        with pytest.raises(ConfigError, match="config file latin.yaml .*UTF-8"):
            read_yaml("latin.yaml")

    def test_a_file_that_is_no_mapping(self):
        with pytest.raises(ConfigError, match="must hold 'key: value' lines, found a list"):
            read_yaml(write("list.yaml", "- 1\n- 2\n"))

    def test_an_empty_file_sets_nothing(self):
        assert read_yaml(write("empty.yaml", "# nothing\n")) == {}

    def test_exponents_are_numbers(self):
        assert read_yaml(write("a.yaml", "rate: 1e-3\nlabel: '1e-3'")) == {"rate": 0.001, "label": "1e-3"}


class TestNames:
    def test_a_value_that_is_not_a_choice_is_refused_with_all_of_them(self):
        check_choice("form", "csv", ("csv", "html"))
        with pytest.raises(ConfigError, match="^form is 'text'; choose one of csv, html$"):
            check_choice("form", "text", ("csv", "html"))

    @pytest.mark.parametrize(
        ("value", "texts"), [(None, []), ("a", ["a"]), (3, ["3"]), (["a", 3], ["a", "3"]), ([], [])]
    )
    def test_one_or_several_are_a_list_of_texts(self, value, texts):
        assert as_list(value) == texts

    def test_the_nearest_name_is_suggested_in_its_own_capitals(self):
        assert suggestion("TOPKS", ["topk", "Epochs"]) == " (did you mean 'topk'?)"
        assert suggestion("epoch", ["topk", "Epochs"]) == " (did you mean 'Epochs'?)"
        assert suggestion("zzz", ["topk", "Epochs"]) == ""

    def test_how_alike_names_must_be_can_be_said(self):
        assert suggestion("epoch", ["epochal_rate"], 0.5) and not suggestion("epoch", ["epochal_rate"], 0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("007", ["007"]),
        ("1e3, true", ["1e3", "true"]),
        ("'a,b'", ["a,b"]),
        ("a, ,b", ["a", "b"]),
    ],
)
def test_words_stay_as_they_are_written(text, words):
    assert parse_words(text) == words


def test_words_that_are_not_yaml_are_refused():
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_words("[a, b")
