"""The study of compression names every method, its processes share the work, and its tables replace the old ones."""

import importlib
import json
from pathlib import Path

import pytest

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.compress.method import parse_variants
from recbole_mpo.release.compress.methods import METHODS

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch):
    """The program as running it would import it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("compression_study")


def test_every_method_is_there_at_three_strengths(study):
    variants = parse_variants(",".join(study.chains()), METHODS, may_lack_strength=True)
    alone = [steps[0] for steps in variants if len(steps) == 1]
    for name, method in METHODS.items():
        strengths = {step.strength for step in alone if step.method is method} - {None}
        expected = 0 if method.bounds is None else 1 if name == "heads" else 3
        assert len(strengths) == expected and any(step.method is method for step in alone), name
    assert {len(steps) for steps in variants} == {1, 2, 3}


@pytest.mark.slow
def test_two_processes_make_the_study_and_its_tables(study, monkeypatch, tiny_settings, tmp_path, capfd):
    record = run("MPORec", "tiny", (), {**tiny_settings, "hidden_size": 16, "inner_size": 16})
    checkpoint = Path(tiny_settings["checkpoint_dir"]) / record["run_id"] / "best.pth"
    monkeypatch.setattr(study, "STRENGTHS", {"prune": (0.5,), "int8-fast": (), "item-pq": (4,)})
    monkeypatch.setattr(study, "SIZED", ("svd",))
    monkeypatch.setattr(study, "RATIOS", (0.8,))
    monkeypatch.setattr(study, "SEVERAL", ("svd:0.5+int8-fast",))
    monkeypatch.setattr(study, "EPOCHS", (0, 1))
    settings = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}
    output = tmp_path / "out"
    assert study.make(checkpoint, output, processes=2, threads=1, **settings) == 0
    assert study.make(checkpoint, output, threads=1, times=True, **settings) == 0
    results = tmp_path / "results"
    results.mkdir()
    (results / "compression.md").write_text("# Before\n\n<!-- tables -->\nold\n<!-- /tables -->\n\nAfter.\n")
    assert study.publish(output, results) == 0
    text = (results / "compression.md").read_text()
    assert text.startswith("# Before\n\n<!-- tables -->\n\n## Without") and text.endswith(
        "<!-- /tables -->\n\nAfter.\n"
    )
    assert "old" not in text
    rows = json.loads((results / "compression" / "report.json").read_text())["rows"]
    names = ["as trained", "uncompressed", "uncompressed", "prune:0.5", "prune:0.5", "item-pq:4", "int8-fast"]
    assert [row["name"] for row in rows][:7] == names and len(rows) == 11
    assert all("latency_ms" in row for row in rows)
    assert {path.name for path in (results / "compression").iterdir()} == {
        f"report.{kind}" for kind in ("json", "csv", "md", "svg")
    }
    sized = next(line for line in text.splitlines() if line.startswith("| 0.8 | svd") and "trained 1" in line)
    assert sized.count("[") == 2
    assert text.count("| uncompressed, trained 1 epoch |") == 1
    assert "+0.0000 [+0.0000, +0.0000] |" in next(
        line for line in text.splitlines() if line.startswith("| uncompressed, trained")
    )
