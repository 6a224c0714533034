"""ml-100k from the recbole package: golden figures, sentences, nothing of the user's overwritten."""

import hashlib
import importlib.util
import os

import pytest

from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.data.prepare.ml100k import natural_title, prepare_ml100k
from recbole_mpo.text.item_text import is_missing, read_item_text

# The file in the recbole 1.2.1 wheel.
INTER_SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare_ml100k(tmp_path_factory.mktemp("data"))


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_the_folder_holds_the_atomic_files_and_a_card(folder):
    assert folder.name == "ml-100k"
    assert sorted(contents(folder)) == ["README.md", "ml-100k.inter", "ml-100k.text", "ml-100k.user"]


def test_the_interactions_are_recboles_unchanged(folder):
    content = (folder / "ml-100k.inter").read_bytes()
    assert hashlib.sha256(content).hexdigest() == INTER_SHA256
    assert content.count(b"\n") == 1 + 100_000


def test_every_item_with_interactions_has_a_line(folder):
    items = read_item_text(folder / "ml-100k.text")
    rated = {line.split("\t")[1] for line in (folder / "ml-100k.inter").read_text().splitlines()[1:]}
    assert len(items) == 1682
    assert set(items.tokens) == rated
    text_of = dict(zip(items.tokens, items.texts, strict=True))
    assert [token for token, text in text_of.items() if is_missing(text)] == ["267"]
    assert not any("\t" in text or "unknown" in text or "unkonwn" in text for text in items.texts)


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("1", "Toy Story (1995). Genres: Animation, Children's, Comedy."),
        ("177", "The Good, The Bad and The Ugly (1966). Genres: Action, Western."),
        ("1005", "La Double vie de Véronique (The Double Life of Veronique) (1991). Genres: Drama."),
        ("1373", "Good Morning (1971)."),
        ("1412", "Land Before Time III: The Time of the Great Giving (1995). Genres: Animation, Children's."),
    ],
)
def test_a_film_reads_as_a_sentence(folder, token, sentence):
    items = read_item_text(folder / "ml-100k.text")
    assert dict(zip(items.tokens, items.texts, strict=True))[token] == sentence


@pytest.mark.parametrize(
    ("title", "spoken"),
    [
        ("Matrix, The", "The Matrix"),
        ("Walk in the Sun, A", "A Walk in the Sun"),
        ("Enfer, L'", "L'Enfer"),
        ("Blue Angel, The (Blaue Engel, Der)", "The Blue Angel (Der Blaue Engel)"),
        ("Hate (Haine, La)", "Hate (La Haine)"),
        ("Paris, France", "Paris, France"),
        ("I Love You, I Love You Not", "I Love You, I Love You Not"),
        ("", ""),
    ],
)
def test_titles_are_put_in_spoken_order(title, spoken):
    assert natural_title(title) == spoken


def test_the_card_names_source_size_and_hashes(folder):
    card = (folder / "README.md").read_text()
    text_sha256 = hashlib.sha256((folder / "ml-100k.text").read_bytes()).hexdigest()
    for expected in ("GroupLens", "100,000", "943 users", "1,682 films", INTER_SHA256, text_sha256):
        assert expected in card


def test_a_second_call_changes_nothing(folder):
    before = contents(folder)
    assert prepare_ml100k(folder.parent) == folder
    assert contents(folder) == before


def test_an_absent_file_is_written_again_beside_the_others(tmp_path):
    folder = prepare_ml100k(str(tmp_path))
    (folder / "README.md").write_text("my own notes")
    (folder / "ml-100k.text").unlink()
    before = contents(folder)
    prepare_ml100k(tmp_path)
    after = contents(folder)
    assert after.keys() - before.keys() == {"ml-100k.text"}
    assert before.items() <= after.items()


@pytest.mark.parametrize("name", ["ml-100k.inter", "ml-100k.text"])
def test_a_differing_file_of_the_users_is_named_and_kept(tmp_path, name):
    (tmp_path / "ml-100k").mkdir()
    own = tmp_path / "ml-100k" / name
    own.write_text("mine")
    with pytest.raises(DataError, match=f"{name} differs.*Move it away"):
        prepare_ml100k(tmp_path)
    assert list(own.parent.iterdir()) == [own]
    assert own.read_text() == "mine"


def test_recboles_own_file_of_users_is_kept(tmp_path):
    (tmp_path / "ml-100k").mkdir()
    own = tmp_path / "ml-100k" / "ml-100k.user"
    own.write_text("user_id:token\tgender:token\n1\tM\n")
    prepare_ml100k(tmp_path)
    assert own.read_text() == "user_id:token\tgender:token\n1\tM\n"
    assert (tmp_path / "ml-100k" / "ml-100k.inter").is_file()


def test_folders_that_are_missing_are_made(tmp_path):
    assert len(contents(prepare_ml100k(tmp_path / "a" / "b"))) == 4


def test_an_interruption_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_ml100k(tmp_path)
    assert list((tmp_path / "ml-100k").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the dataset"):
        prepare_ml100k(tmp_path / "file")


def test_without_recbole_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="pip install --no-deps recbole==1.2.1"):
        prepare_ml100k(tmp_path)


@pytest.mark.parametrize(
    ("items", "message"),
    [("item_id:token\n", "line 1: expected the header"), (None, "cannot be read")],
)
def test_a_damaged_source_is_named(tmp_path, monkeypatch, items, message):
    source = tmp_path / "source" / "dataset_example" / "ml-100k"
    source.mkdir(parents=True)
    (source / "ml-100k.inter").touch()
    if items is not None:
        (source / "ml-100k.item").write_text(items)
    spec = importlib.util.spec_from_file_location(
        "recbole", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path / "source")]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(DataError, match=message):
        prepare_ml100k(tmp_path)
