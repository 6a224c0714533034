"""A dataset's files take their places together, or none does; strangers stay."""

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.prepare import whole_folder
from recbole_mpo.data.prepare.whole_folder import (
    INTERACTIONS,
    OTHER_FILES,
    RECORD,
    is_there,
    new_files,
    refuse_strangers,
)


def contents(folder) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != RECORD]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def write(tmp_path, files, content="new"):
    with new_files(tmp_path, "shop") as stage:
        for name in files:
            write_file(stage / name, content)
        assert not (tmp_path / "shop").exists() or content not in contents(tmp_path / "shop").values()


def write_file(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


def test_files_arrive_once_all_are_written(tmp_path):
    write(tmp_path, ["shop.inter", "shop.text", "README.md"])
    assert contents(tmp_path / "shop") == {"shop.inter": "new", "shop.text": "new", "README.md": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["shop"], "the stage is gone"


PARTS = (".shards/part-00000.parquet", ".shards/part-00012.parquet")
FORMER = ["README.md", *(f"shop{suffix}" for suffix in (*INTERACTIONS, *OTHER_FILES, *PARTS))]


def test_every_former_file_of_a_preparation_goes_and_strangers_stay(tmp_path):
    write(tmp_path, FORMER, "old")
    for name in ("shop.feat1CLS", "notes.txt"):
        (tmp_path / "shop" / name).write_text("old")
    write(tmp_path, ["shop.inter"])
    assert contents(tmp_path / "shop") == {"shop.inter": "new", "shop.feat1CLS": "old", "notes.txt": "old"}
    write(tmp_path, ["shop.inter", "shop.text"], "newer")


@pytest.mark.parametrize("name", FORMER)
def test_a_file_that_others_made_or_changed_is_neither_replaced_nor_deleted(tmp_path, name):
    (tmp_path / "shop").mkdir()
    write_file(tmp_path / "shop" / name, "mine")
    with pytest.raises(DataError, match=rf"shop/{name} was not made by prepare, or has changed since"):
        write(tmp_path, ["shop.inter"])
    assert contents(tmp_path / "shop") == {name: "mine"}
    (tmp_path / "shop" / name).unlink()
    write(tmp_path, [name])
    write_file(tmp_path / "shop" / name, "mine")
    with pytest.raises(DataError, match="has changed since"):
        write(tmp_path, ["shop.inter"])
    assert contents(tmp_path / "shop") == {name: "mine"} and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    with pytest.raises(DataError, match="was not made by prepare"), new_files(tmp_path, "shop") as stage:
        (stage / "shop.inter").write_text("new")
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / "shop.text").write_text("mine")
    assert contents(tmp_path / "shop") == {"shop.text": "mine"}


@pytest.mark.parametrize("moved", range(4))
def test_a_preparation_killed_between_two_files_can_be_repeated(tmp_path, monkeypatch, moved):
    write(tmp_path, FORMER, "old")
    replace, done = whole_folder.os.replace, []

    def killed(source, target):
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(whole_folder.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, ["README.md", "shop.text", "shop.inter"])
    monkeypatch.undo()
    write(tmp_path, ["shop.inter"], "newer")
    assert contents(tmp_path / "shop") == {"shop.inter": "newer"}


def test_the_card_of_an_older_preparation_tells_its_files(tmp_path):
    write(tmp_path, ["shop.inter"], "old")
    (tmp_path / "shop" / RECORD).unlink()
    rows = f"| shop.inter | 3 | {file_hash(tmp_path / 'shop' / 'shop.inter')} |"
    (tmp_path / "shop" / "README.md").write_text(f"# shop\n\nMade by recbole-mpo 0.1\n\n{rows}\n")
    refuse_strangers(tmp_path, "shop")
    (tmp_path / "shop" / "README.md").write_text(f"# My own words\n\n{rows}\n")
    with pytest.raises(DataError, match=r"README\.md was not made by prepare"):
        refuse_strangers(tmp_path, "shop")


def test_an_input_is_never_replaced(tmp_path):
    write(tmp_path, ["shop.text"], "old")
    for inputs in ([tmp_path / "shop" / "shop.text"], [tmp_path / "shop" / ".." / "shop" / "shop.text"]):
        with pytest.raises(DataError, match=r"shop\.text is an input of this preparation"):
            refuse_strangers(tmp_path, "shop", inputs)
    with pytest.raises(DataError, match=r"shop\.text is an input of this preparation"):
        refuse_strangers(tmp_path, "shop", [tmp_path / "shop"])
    refuse_strangers(tmp_path, "shop", [tmp_path / "other.csv"])


def test_parts_of_an_earlier_preparation_go_and_a_strangers_file_among_them_stays(tmp_path):
    write(tmp_path, ["shop.shards/manifest.json", *(f"shop{part}" for part in PARTS)], "old")
    write_file(tmp_path / "shop" / "shop.shards" / "notes.txt", "mine")
    write(tmp_path, ["shop.shards/manifest.json", f"shop{PARTS[0]}"])
    assert contents(tmp_path / "shop") == {
        "shop.shards/manifest.json": "new",
        f"shop{PARTS[0]}": "new",
        "shop.shards/notes.txt": "mine",
    }
    (tmp_path / "shop" / "shop.shards" / "notes.txt").unlink()
    write(tmp_path, ["shop.inter"], "newer")
    assert not (tmp_path / "shop" / "shop.shards").exists()


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_a_path_is_no_name(tmp_path, name):
    with pytest.raises(ConfigError, match="is not the name of a dataset"), new_files(tmp_path, name):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_an_error_leaves_what_was_there(tmp_path, error):
    write(tmp_path, ["shop.inter"], "old")
    with pytest.raises((DataError, KeyboardInterrupt, ValueError)) as caught, new_files(tmp_path, "shop") as stage:
        (stage / "shop.inter").write_text("half")
        raise error
    if isinstance(error, OSError):
        assert str(caught.value).endswith("shop: cannot be written (No space left on device)")
    assert contents(tmp_path / "shop") == {"shop.inter": "old"} and len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/shop: cannot be written .*; give another --data_path"):
        with new_files(tmp_path / "file", "shop"):
            pass


@pytest.mark.parametrize("suffix", INTERACTIONS)
def test_a_dataset_is_there_if_it_has_any_interactions(tmp_path, suffix):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.text").touch()
    assert not is_there(tmp_path, "shop")
    write_file(tmp_path / "shop" / f"shop{suffix}", "")
    assert is_there(tmp_path, "shop")
