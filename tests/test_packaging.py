"""The distribution: settings found however it is installed, honest version ranges, nothing private in it."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from recbole_mpo.cli.doctor import declared_requirements

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md", "recbole_mpo", "properties")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
FROM_THE_TREE = ["--no-deps", "--no-build-isolation"]
PRINT_SCHEMA = "from recbole_mpo.common.properties import find_property; print(find_property('schema'))"


def run(command, cwd, **environment):
    """The command's standard output; its errors are shown when it fails."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=inherited | environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def copy_tree(target):
    """A copy of what a build reads, so that build products do not land in the repository."""
    target.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, target / part)
    return target


def yaml_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_tree(tmp_path_factory.mktemp("source") / "tree")


@pytest.fixture(scope="module", params=["from the tree", "from a source distribution"])
def wheel_target(request, tree, tmp_path_factory):
    """A folder that pip installed the wheel into."""
    folder = tmp_path_factory.mktemp("wheel")
    source = tree
    if request.param == "from a source distribution":
        build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
        run([sys.executable, "-c", build], cwd=tree)
        source = next(folder.glob("*.tar.gz"))
    run([*PIP, "wheel", *FROM_THE_TREE, "--wheel-dir", folder / "dist", source], cwd=folder)
    wheel = next((folder / "dist").glob("recbole_mpo-*.whl"))
    run([*PIP, "install", "--no-deps", "--target", folder / "site", wheel], cwd=folder)
    return folder / "site"


def test_a_wheel_carries_the_settings(wheel_target, tree, tmp_path):
    # -S leaves out site-packages, and with it an editable install of the repository.
    found = run([sys.executable, "-S", "-c", PRINT_SCHEMA], cwd=tmp_path, PYTHONPATH=str(wheel_target))
    packaged = wheel_target / "recbole_mpo" / "properties"
    assert Path(found) == packaged / "schema.yaml"
    assert yaml_files(packaged) == yaml_files(tree / "properties")


def test_a_wheel_ignores_a_strangers_properties_in_site_packages(wheel_target, tmp_path):
    site = shutil.copytree(wheel_target, tmp_path / "site")
    (site / "properties").mkdir()
    (site / "properties" / "schema.yaml").touch()
    found = run([sys.executable, "-S", "-c", PRINT_SCHEMA], cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(found) == site / "recbole_mpo" / "properties" / "schema.yaml"


def test_a_wheel_has_every_module_and_the_console_script(wheel_target, tree):
    modules = {path.relative_to(tree) for path in (tree / "recbole_mpo").rglob("*.py")}
    assert {module for module in modules if not (wheel_target / module).is_file()} == set()
    page = Path("recbole_mpo", "release", "serving", "page.html")
    assert (wheel_target / page).read_bytes() == (tree / page).read_bytes()
    assert not (wheel_target / "tests").exists() and not (wheel_target / "properties").exists()
    entry_points = next(wheel_target.glob("*.dist-info/entry_points.txt")).read_text()
    assert "recbole-mpo = recbole_mpo.cli.main:main" in entry_points


def test_a_wheel_declares_what_setup_cfg_declares(wheel_target, tmp_path):
    show = """if True:
        from recbole_mpo.cli.doctor import declared_requirements
        declared = declared_requirements()
        print(declared.python)
        for requirement, extra in declared.packages:
            print(requirement.name, requirement.specifier, extra)
    """
    from_wheel = run([sys.executable, "-c", show], cwd=tmp_path, PYTHONPATH=str(wheel_target)).splitlines()
    from_tree = run([sys.executable, "-c", show], cwd=ROOT).splitlines()
    assert sorted(from_wheel) == sorted(from_tree)


def test_an_editable_install_reads_the_settings_of_its_tree(tree, tmp_path):
    own_tree = shutil.copytree(tree, tmp_path / "tree")
    site = tmp_path / "site"
    run([*PIP, "install", *FROM_THE_TREE, "--target", site, "--editable", own_tree], cwd=tmp_path)
    code = f"import site; site.addsitedir({str(site)!r}); {PRINT_SCHEMA}"
    found = run([sys.executable, "-S", "-c", code], cwd=tmp_path)
    assert Path(found) == own_tree / "properties" / "schema.yaml"


def test_a_source_tree_reads_its_own_settings(tree, tmp_path):
    found = run([sys.executable, "-S", "-c", PRINT_SCHEMA], cwd=tmp_path, PYTHONPATH=str(tree))
    assert Path(found) == tree / "properties" / "schema.yaml"


def pins():
    """Requirement by name, of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_setup_cfg_admits_the_running_versions():
    declared = declared_requirements()
    assert ".".join(map(str, sys.version_info[:3])) in declared.python
    for requirement, extra in declared.packages:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            assert extra, f"{requirement} is required and not installed"
            continue
        assert requirement.specifier.contains(version), f"{requirement.name} {version}"


def test_every_line_of_the_constraints_is_one_exact_public_version():
    for requirement in pins().values():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        assert "*" not in specifier.version and "+" not in specifier.version, requirement


def test_the_constraints_satisfy_setup_cfg_and_pin_what_it_installs():
    pinned = pins()
    for requirement, extra in declared_requirements().packages:
        pin = pinned.get(canonicalize_name(requirement.name))
        if pin is None:
            assert extra not in ("", "text", "minilm", "dev"), f"{requirement.name} is not pinned"
            continue
        (specifier,) = pin.specifier
        assert requirement.specifier.contains(specifier.version), f"{pin} against {requirement}"
    assert {"torch", "ray", "transformers"} <= pinned.keys()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["help", "venv", "test", "lint", "demo", "wheel", "clean"])
def test_the_makefile_has_the_target(target):
    run(["make", "--dry-run", target], cwd=ROOT)


def test_continuous_integration_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


@pytest.fixture
def checkout():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return ROOT


def test_no_tracked_file_names_a_machine_or_a_package_index(checkout):
    folders = "|".join(["work", "farm", "root"])
    hosts = "|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.org"])
    private = re.compile(rf"(^|[^a-zA-Z0-9_.])/({folders})/|{hosts}")
    found = []
    for name in run(["git", "ls-files", "-z"], cwd=checkout).split("\0"):
        path = checkout / name
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{name}:{number}" for number, line in enumerate(lines, 1) if private.search(line)]
    assert found == []


def test_git_ignores_data_caches_and_checkpoints_and_nothing_else(checkout):
    ignored = [
        "dataset/ml-100k/ml-100k.inter",
        "dataset/.cache/ml-100k/minilm.safetensors",
        "saved/run/record.json",
        "anywhere/model.pth",
        "log/MPORec/a.log",
        "log_tensorboard/a",
        ".venv/bin/python",
        "recbole_mpo.egg-info/PKG-INFO",
        "build/lib/a.py",
    ]
    kept = ["dataset/README.md", "recbole_mpo/data/a.py", "tests/data/test_a.py", "properties/dataset/a.yaml"]
    command = ["git", "check-ignore", "--no-index", *ignored, *kept]
    assert run(command, cwd=checkout).splitlines() == ignored
