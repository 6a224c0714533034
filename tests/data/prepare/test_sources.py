"""Known sources: names in any spelling, releases, and published counts."""

from pathlib import Path

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.prepare.sources import find_source, known_names, name_of_release, raw_folder, refuse_unknown


def test_every_known_name_has_a_source_of_its_name():
    names = known_names()
    assert len(names) == len(set(names)) and {"Pantry", "Pantry-2023"} & set(names) == {"Pantry"}
    assert {"Scientific", "Scientific-2023", "OR", "ml-100k", "ml-1m"} <= set(names)
    sources = [find_source(name) for name in names]
    assert [source.name for source in sources] == names
    assert [source.name for source in sources if not source.addresses] == ["ml-100k"]


@pytest.mark.parametrize(
    "name, release, source, kind",
    [
        ("pantry", None, "Pantry", "amazon-2018"),
        ("SCIENTIFIC", "2023", "Scientific-2023", "amazon-2023"),
        ("scientific-2023", None, "Scientific-2023", "amazon-2023"),
        ("Scientific-2023", "2023", "Scientific-2023", "amazon-2023"),
        ("or", None, "OR", "online-retail"),
        ("ML-1M", None, "ml-1m", "movielens"),
        ("ml-100k", None, "ml-100k", "ml-100k"),
    ],
)
def test_names_are_those_of_the_paper_in_any_spelling(name, release, source, kind):
    assert (find_source(name, release).name, find_source(name, release).kind) == (source, kind)


def test_published_counts_are_table_1s():
    assert find_source("Scientific").expected is not None and find_source("OR").expected == (16_520, 3_469, 519_906)
    assert find_source("Pantry").expected == (13_101, 4_898, 126_962) and find_source("ml-100k").expected is None


def test_a_hash_is_known_or_not():
    assert find_source("Pantry").sha256("nothing.csv") is None and find_source("ml-100k").sha256("a") is None


def test_an_unknown_name_has_no_source_and_is_refused_with_a_suggestion():
    assert find_source("Pantri") is None
    message = r"'Pantri' is not a known dataset \(did you mean 'Pantry'\?\); the known ones are .*OR"
    with pytest.raises(ConfigError, match=message):
        refuse_unknown("Pantri")


@pytest.mark.parametrize(
    "name, release, message",
    [
        ("Scientific", "2020", "release is '2020'; choose one of 2018, 2023"),
        ("Scientific-2023", "2018", "Scientific-2023 is from the 2023 release"),
    ],
)
def test_releases_that_do_not_exist_are_refused(name, release, message):
    with pytest.raises(ConfigError, match=message):
        find_source(name, release)


def test_folders_and_names_of_releases():
    assert raw_folder("data", "OR") == Path("data/.raw/OR")
    assert name_of_release("Pantry", "2018") == "Pantry" == name_of_release("Pantry", None)
    assert name_of_release("Pantry", "2023") == "Pantry-2023" == name_of_release("Pantry-2023", "2023")
