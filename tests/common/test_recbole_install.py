"""Where RecBole is absent, one line says how it is installed, to users of Python and of the command line alike."""

import subprocess
import sys

import pytest

from recbole_mpo.common.recbole_install import RECBOLE, missing_recbole

COMMAND = f"{sys.executable} -m pip install --no-deps {RECBOLE}"


HIDE = """
import sys

class Hide:
    def find_spec(name, path=None, target=None):
        if name == "recbole":
            raise ModuleNotFoundError("No module named 'recbole'", name="recbole")

sys.meta_path.insert(0, Hide)
"""


def without_recbole(code, folder):
    return subprocess.run([sys.executable, "-c", HIDE + code], cwd=folder, capture_output=True, text=True)


def test_the_error_names_the_command():
    assert str(missing_recbole()) == f"RecBole is not installed; run: {COMMAND}"


@pytest.mark.parametrize("face", ["model", "trainer", "quick_start", "release"])
def test_importing_what_needs_recbole_says_so_in_the_last_line(face, tmp_path):
    done = without_recbole(f"import recbole_mpo.{face}", tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"recbole_mpo.common.errors.DependencyError: RecBole is not installed; run: {COMMAND}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--model=MPORec", "--dataset=shop"],
        ["evaluate", "--checkpoint=best.pth"],
        ["recommend", "--checkpoint=best.pth", "--items=1"],
        ["merge", "--checkpoint=best.pth", "--output=dense.pth"],
        ["demo"],
        ["prepare", "ml-100k"],
    ],
)
def test_commands_say_so_in_one_line(arguments, tmp_path):
    done = without_recbole(f"from recbole_mpo.cli.main import main; sys.exit(main({arguments!r}))", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"error: RecBole is not installed; run: {COMMAND}\n",
    )


@pytest.mark.parametrize("room", ["common", "layers", "layers.mpo", "text", "data"])
def test_rooms_that_do_not_need_it_are_there(room, tmp_path):
    assert without_recbole(f"import recbole_mpo.{room}", tmp_path).returncode == 0


def test_another_missing_module_is_not_taken_for_recbole(tmp_path):
    code = "sys.modules['recbole.utils.logger'] = None; import recbole_mpo.model"
    code = f"import sys; {code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr.splitlines()[-1] and "pip install" not in done.stderr
