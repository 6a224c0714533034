"""``recbole-mpo doctor``: what is installed, what is missing, and the command that fixes it.

Versions are read from the packages' metadata, so a package that cannot be imported is still listed.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from recbole_mpo import __version__
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property, property_root, source_tree
from recbole_mpo.common.recbole_install import RECBOLE, WITHOUT_REQUIREMENTS

DISTRIBUTION = "recbole-mpo"
_EXTRAS_OF_DEVELOPERS = {"dev", "docs"}


@dataclass(frozen=True)
class Check:
    """One line of the report. If a required check is not ok, the exit code is 1."""

    name: str
    ok: bool
    detail: str
    required: bool = True
    fix: str = ""


@dataclass(frozen=True)
class Requirements:
    """The package's declared requirements: the Python range, and (requirement, extra or "") pairs."""

    python: SpecifierSet
    packages: tuple[tuple[Requirement, str], ...]


def collect() -> list[Check]:
    """Return all checks in the order of the report; missing or broken parts do not raise."""
    return [*_version_checks(), _device(), _properties(), _writable(Path.cwd())]


def report(checks: Iterable[Check] | None = None, stream: TextIO | None = None) -> int:
    """Print the checks (those of :func:`collect` by default); return 0 if all required ones are ok, else 1."""
    stream = stream or sys.stdout
    checks = list(collect() if checks is None else checks)
    width = max((len(check.name) for check in checks), default=0)
    print(f"recbole-mpo {__version__}, {platform.platform()}", file=stream)
    for check in checks:
        print(f"  {_mark(check):<8}  {check.name:<{width}}  {check.detail}", file=stream)
        if not check.ok and check.fix:
            print(f"  {'':<8}  {'':<{width}}  fix: {check.fix}", file=stream)
    wrong = [check.name for check in checks if check.required and not check.ok]
    verdict = f"To be fixed: {', '.join(wrong)}." if wrong else "Everything required is in place."
    print(verdict, file=stream)
    return 1 if wrong else 0


def declared_requirements() -> Requirements:
    """Return the requirements from setup.cfg in a source tree, else from the installed package's metadata.

    Raises:
        ConfigError: there is neither.
    """
    tree = source_tree()
    if tree:
        return _from_setup_cfg(tree / "setup.cfg")
    try:
        metadata = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("no installation metadata; install the wheel with pip") from None
    packages = []
    for line in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        extras = [extra for extra in metadata.get_all("Provides-Extra") or [] if _asks(requirement, extra)]
        packages += [(requirement, extra) for extra in extras or [""]]
    return Requirements(SpecifierSet(metadata["Requires-Python"] or ""), tuple(packages))


def _asks(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _from_setup_cfg(path: Path) -> Requirements:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, encoding="utf-8")
    packages = [(Requirement(line), "") for line in _lines(parser["options"]["install_requires"])]
    for extra, lines in parser["options.extras_require"].items():
        packages += [(Requirement(line), extra) for line in _lines(lines)]
    return Requirements(SpecifierSet(parser["options"]["python_requires"]), tuple(packages))


def _lines(value: str) -> list[str]:
    return [line.strip() for line in value.splitlines() if line.strip()]


def _version_checks() -> list[Check]:
    try:
        declared = declared_requirements()
    except (ConfigError, InvalidRequirement) as error:
        return [Check(DISTRIBUTION, False, str(error))]
    extras_by_name: dict[str, list[str]] = {}
    requirement_by_name: dict[str, Requirement] = {}
    for requirement, extra in declared.packages:
        if extra in _EXTRAS_OF_DEVELOPERS:
            continue
        name = canonicalize_name(requirement.name)
        requirement_by_name.setdefault(name, requirement)
        extras_by_name.setdefault(name, []).append(extra)
    packages = [_package(requirement_by_name[name], extras) for name, extras in extras_by_name.items()]
    return [_python(declared.python), *packages]


def _python(allowed: SpecifierSet) -> Check:
    version = platform.python_version()
    ok = allowed.contains(version, prereleases=True)
    detail = f"{version}, {sys.executable}" if ok else f"{version} is outside {allowed}"
    return Check("python", ok, detail, fix="make the environment with another Python: python3.13 -m venv .venv")


def _package(requirement: Requirement, extras: list[str]) -> Check:
    """Check one package's version against its range; ``extras`` holds "" for a required package."""
    required = "" in extras
    note = "" if required else f"  (optional: {', '.join(f'[{extra}]' for extra in extras)})"
    declared = f"{requirement.name}{requirement.specifier}"
    fix = _pip_install(*([WITHOUT_REQUIREMENTS] if declared == RECBOLE else []), declared)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Check(requirement.name, False, f"not installed{note}", required, fix)
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version} is outside {requirement.specifier}{note}"
        return Check(requirement.name, False, detail, required, fix)
    if requirement.name == "pyarrow" and _numpy_is_too_old_for(version):
        detail = f"{version} does not import with numpy 1{note}"
        return Check(requirement.name, False, detail, required, _pip_install("pyarrow<26"))
    return Check(requirement.name, True, f"{version}{note}", required)


def _numpy_is_too_old_for(pyarrow: str) -> bool:
    """Return whether this pyarrow does not work with the installed numpy; the metadata of neither says so."""
    try:
        numpy = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return False
    return Version(numpy).major < 2 and Version(pyarrow).major >= 26


def _pip_install(*arguments: str) -> str:
    """Return a pip command for this interpreter, with the pinned versions if there is a constraints.txt."""
    words = [sys.executable, "-m", "pip", "install"]
    tree = source_tree()
    if tree and (tree / "constraints.txt").is_file():
        words += ["-c", str(tree / "constraints.txt")]
    return shlex.join([*words, *arguments])


def _device() -> Check:
    try:
        import torch

        threads = f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
        if not torch.cuda.is_available():
            return Check("device", True, f"{threads}; no CUDA device")
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except Exception as error:  # a broken binary can raise anything, and the doctor must report it
        fix = _pip_install("--force-reinstall", "--no-deps", "torch")
        return Check("device", False, f"torch cannot be used: {error}", fix=fix)
    devices = "; ".join(f"cuda:{index} {name}" for index, name in enumerate(names))
    return Check("device", True, f"{threads}; {devices}")


def _properties() -> Check:
    try:
        root = property_root()
        overall = find_property("overall")
    except ConfigError as error:
        return Check("properties", False, str(error))
    changed = f"; defaults changed by {overall}" if overall else ""
    return Check("properties", True, f"{root}{changed}")


def _writable(folder: Path) -> Check:
    """Check a folder by writing to it; permission bits say little for administrators and on network drives."""
    fix = "change to a folder that you can write to, or set --checkpoint_dir and --cache_dir"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("writing", True, str(folder))
    except OSError as error:
        return Check("writing", False, f"{folder}: {error.strerror or error}", fix=fix)


def _mark(check: Check) -> str:
    if check.ok:
        return "ok"
    return "WRONG" if check.required else "absent"


if __name__ == "__main__":
    sys.exit(report())
