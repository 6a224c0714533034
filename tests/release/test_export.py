"""From a checkpoint to a folder and back, on the command line, and exports that fail."""

import json
import os
import shutil

import pytest
from model_folders import HISTORIES, answers
from support import folder_of

from recbole_mpo.cli.main import main
from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.export import export_checkpoint
from recbole_mpo.release.recommend import Recommender


@pytest.fixture(autouse=True)
def keep_process(monkeypatch):
    monkeypatch.setattr("recbole_mpo.cli.main.prepare_process", lambda: None)


@pytest.fixture
def trained(tiny_settings):
    """The folder of a short run."""
    settings = {**tiny_settings, "evidence": ["covisit", "words"], "epochs": 1}
    return folder_of(run("MPORec", "tiny", (), settings))


def test_a_folder_answers_as_its_checkpoint_without_the_dataset(trained, tiny_path, tmp_path, capsys):
    expected = answers(Recommender.from_checkpoint(trained / "best.pth"), HISTORIES)
    assert main(["export", f"--checkpoint={trained}/best.pth", f"--output={tmp_path}/m"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {tmp_path}/m\n")
    asked = ["--items=i3,i4,i9", "--format=json"]
    assert main(["recommend", f"--checkpoint={trained}/best.pth", *asked]) == 0
    of_checkpoint = json.loads(capsys.readouterr().out)
    shutil.rmtree(tiny_path)
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(trained)
    assert answers(Recommender.from_pretrained(tmp_path / "m"), HISTORIES) == expected
    assert main(["recommend", f"--model_folder={tmp_path}/m", *asked]) == 0
    assert json.loads(capsys.readouterr().out) == of_checkpoint
    card = (tmp_path / "m" / "README.md").read_text()
    assert "trained as MPORec" in card and "| test |" in card


def test_a_failed_export_leaves_nothing(trained, tiny_path, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    before = set(os.listdir(tmp_path))
    monkeypatch.setattr("recbole_mpo.release.model_folder.save_file", fail)
    with pytest.raises(CheckpointError, match="m cannot be written: No space left on device; nothing was changed"):
        export_checkpoint(trained / "best.pth", tmp_path / "m", {"cache_dir": f"{tmp_path}/cache"})
    assert set(os.listdir(tmp_path)) == before


def test_what_others_made_is_refused_before_the_checkpoint_is_read(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="m exists and is not of export"):
        export_checkpoint(tmp_path / "none.pth", tmp_path / "m")
    assert os.listdir(tmp_path / "m") == ["notes.txt"]


def test_recboles_models_are_refused_with_the_reason(tiny_settings, tmp_path, capsys):
    shared = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "train_batch_size", "seed")
    settings = {key: tiny_settings[key] for key in shared} | {"epochs": 1, "hidden_size": 16, "inner_size": 16}
    folder = folder_of(run("SASRec", "tiny", (), settings))
    capsys.readouterr()
    assert main(["export", f"--checkpoint={folder}/best.pth", f"--output={tmp_path}/m"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: SASRec has no model folder: ") and error.count("\n") == 1
    assert not (tmp_path / "m").exists()
