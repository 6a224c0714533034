"""What would be lost is refused, with a line that says why."""

import pytest

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.replaced_files import check_output


@pytest.fixture
def files(tmp_path):
    for name in ("source", "own", "other"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "source")
    (tmp_path / "folder").mkdir()
    return tmp_path


def check(output, source):
    check_output(output, {"base": source}, lambda path: path.read_text() == "own", "of merge")


@pytest.mark.parametrize("name", ["own", "new"])
def test_own_and_new_files_may_be_written(files, name):
    check(files / name, files / "source")
    check(files / name, files / "absent")


@pytest.mark.parametrize(
    "name, message",
    [
        ("source", "is the base itself, which would be lost; name another file"),
        ("link", "is the base itself, which would be lost; name another file"),
        ("other", "exists and is not of merge; name another file, or move it away first"),
        ("folder", "is a folder; name the file to write"),
    ],
)
def test_all_others_may_not(files, name, message):
    with pytest.raises(CheckpointError, match=f"output .*{name} {message}"):
        check(files / name, files / "source")
