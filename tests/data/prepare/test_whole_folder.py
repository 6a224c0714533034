"""A dataset's files take their places together, or none does; strangers stay."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.whole_folder import INTERACTIONS, OTHER_FILES, is_there, new_files


def contents(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(tmp_path, files):
    with new_files(tmp_path, "shop") as stage:
        for name in files:
            (stage / name).write_text("new")
        assert not (tmp_path / "shop").exists() or "new" not in contents(tmp_path / "shop").values()


def test_files_arrive_once_all_are_written(tmp_path):
    write(tmp_path, ["shop.inter", "shop.text", "README.md"])
    assert contents(tmp_path / "shop") == {"shop.inter": "new", "shop.text": "new", "README.md": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["shop"], "the stage is gone"


def test_every_former_file_of_a_preparation_goes_and_strangers_stay(tmp_path):
    (tmp_path / "shop").mkdir()
    former = ["README.md", *(f"shop{suffix}" for suffix in (*INTERACTIONS, *OTHER_FILES))]
    for name in (*former, "shop.feat1CLS", "notes.txt"):
        (tmp_path / "shop" / name).write_text("old")
    write(tmp_path, ["shop.inter"])
    assert contents(tmp_path / "shop") == {"shop.inter": "new", "shop.feat1CLS": "old", "notes.txt": "old"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.inter").write_text("old")
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
    (tmp_path / "shop" / f"shop{suffix}").touch()
    assert is_there(tmp_path, "shop")
