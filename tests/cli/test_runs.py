"""``run`` and ``evaluate``: what they leave behind, and what is wrong with their arguments."""

from pathlib import Path

import pytest
from support import LetterEncoder

from recbole_mpo.cli import main as cli
from recbole_mpo.quick_start.record import read_record


class TestErrors:
    @pytest.mark.parametrize("missing", ["model", "dataset"])
    def test_run_needs_model_and_dataset(self, failing, tiny_arguments, missing):
        assert failing(*tiny_arguments(**{missing: None})) == f"run needs --{missing}=VALUE"

    def test_blank_instead_of_equals(self, failing, tiny_arguments):
        assert "write --epochs=VALUE, with '=' and no space" in failing(*tiny_arguments(), "--epochs", "3")

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"model": "MPORek"}, "unknown model 'MPORek' (did you mean 'MPORec'?)"),
            ({"dataset": "tinny"}, "dataset 'tinny' not found"),
            ({"dataset": "tinny"}, "(did you mean 'tiny'?)"),
            ({"epoch": 3}, "unknown setting 'epoch' for MPORec (did you mean 'epochs'?)"),
            ({"epochs": "abc"}, "epochs must be a whole number, not 'abc'"),
            ({"config_files": "no.yaml"}, "config file no.yaml cannot be read"),
            ({"mpo_expand": 2}, "mpo_expand is set to 2, but mpo_strategy is 'full'"),
            ({"model": "MPORecLight", "mpo_expand": 4}, "mpo_expand is set to 4, but mpo_strategy is 'light'"),
            ({"model": "MPORecExpand", "mpo_expand": 0}, "mpo_"),
            ({"model": "MPORecLight", "mpo_num_cores": 4}, "the MPO settings (mpo_*) do not fit the model"),
            ({"mpo_in_factors": "2,2,2,2,2"}, "32"),
            ({"mpo_out_factors": "1,1,3,3,1"}, "9"),
            ({"mpo_strategy": "lite"}, "mpo_strategy is 'lite'; choose one of full, light, expand"),
            ({"freeze": "encodr"}, "freeze names 'encodr'; this model's groups are"),
            ({"item_input": "title"}, "item_input is 'title'; choose one of"),
            ({"resume": "no.pth"}, "checkpoint no.pth does not exist"),
            ({"record": "."}, "record . cannot be written"),
            ({"pretrained": "no.pth"}, "checkpoint no.pth does not exist"),
            ({"feature_file": "no.npy"}, "feature_file no.npy does not exist"),
        ],
    )
    def test_run_names_what_was_wrong(self, failing, tiny_arguments, changes, part):
        assert part in failing(*tiny_arguments(**changes))

    def test_an_even_number_of_cores_is_no_error_where_not_light(self, tiny_arguments):
        assert cli.main([*tiny_arguments(mpo_num_cores=4), "--dry_run"]) == 0

    def test_missing_item_text(self, failing, tiny_arguments, tiny_path):
        (tiny_path / "tiny" / "tiny.text").unlink()
        assert "tiny.text" in failing(*tiny_arguments())

    def test_evaluate_needs_its_file(self, failing):
        assert failing("evaluate") == "evaluate needs --checkpoint=VALUE"


class TestRun:
    @pytest.mark.parametrize("flag", ["--dry_run", "--dry-run", "--dry_run=true"])
    def test_dry_run_prints_parameters_and_writes_the_record(self, tiny_arguments, capsys, flag):
        assert cli.main([*tiny_arguments(), flag, "--record=copy.json"]) == 0
        out = capsys.readouterr().out
        record = read_record("copy.json")
        assert record["status"] == "dry_run"
        assert "data: 40 users, 30 items; targets: train" in out
        for group, counts in record["params"]["by_group"].items():
            row = next(line for line in out.splitlines() if line.startswith(f"  {group}  "))
            assert row.split()[-2:] == [f"{counts['total']:,}", f"{counts['trainable']:,}"]
        assert f"{record['params']['total']:,}" in out and "epoch 0" not in out

    def test_a_run_is_evaluated_merged_resumed_and_tabled(self, tiny_arguments, capsys):
        assert cli.main([*tiny_arguments(epochs=1), "--record=first.json"]) == 0
        record = read_record("first.json")
        folder = Path(record["config"]["checkpoint_dir"]) / record["run_id"]
        assert read_record(folder) == record
        capsys.readouterr()

        assert cli.main(["evaluate", f"--checkpoint={folder / 'best.pth'}"]) == 0
        evaluated = capsys.readouterr().out
        assert cli.main(["merge", f"--checkpoint={folder / 'best.pth'}", "--output=new/dense.pth"]) == 0
        assert capsys.readouterr().out == "wrote new/dense.pth\n"
        assert cli.main(["evaluate", "--checkpoint=new/dense.pth"]) == 0
        merged = capsys.readouterr().out
        for split in ("valid", "test"):
            values = "  ".join(f"{name} {value:.6f}" for name, value in record[split].items())
            assert f"{split}: {values}" in evaluated and f"{split}: {values}" in merged

        assert cli.main([*tiny_arguments(epochs=2), f"--resume={folder}", "--record=second.json"]) == 0
        resumed = read_record("second.json")
        assert resumed["run_id"] == record["run_id"]
        assert [epoch["epoch"] for epoch in resumed["history"]] == [0, 1]
        assert resumed["history"][0]["train_loss"] == record["history"][0]["train_loss"]
        capsys.readouterr()

        assert cli.main(["table", "first.json", str(folder), "--metrics=hit@10", "--mix=false"]) == 0
        table = capsys.readouterr().out
        assert table.count("| MPORec | 7 |") == 2 and f"{record['test']['hit@10']:.4f}" in table
        assert cli.main(["table", "first.json", "--format=csv", "--mix"]) == 0
        assert repr(record["test"]["ndcg@10"]) in capsys.readouterr().out

    def test_resume_refuses_other_settings(self, tiny_arguments, failing):
        assert cli.main([*tiny_arguments(epochs=1), "--record=a.json"]) == 0
        folder = Path(read_record("a.json")["config"]["checkpoint_dir"]) / read_record("a.json")["run_id"]
        message = failing(*tiny_arguments(learning_rate=0.5), f"--resume={folder}")
        assert "learning_rate was 0.001, is 0.5" in message

    def test_resume_auto_starts_anew_where_nothing_is_unfinished(self, tiny_arguments, capsys):
        for name in ("a", "b"):
            assert cli.main([*tiny_arguments(epochs=1), "--resume=auto", f"--record={name}.json"]) == 0
            assert "No unfinished run" in capsys.readouterr().out
        assert read_record("a.json")["run_id"] != read_record("b.json")["run_id"]

    def test_config_files_and_hyphens(self, tiny_arguments):
        Path("a.yaml").write_text("seed: 1\nstopping_step: 4\n", encoding="utf-8")
        Path("b.yaml").write_text("stopping_step: 5\n", encoding="utf-8")
        arguments = [*tiny_arguments(seed=None, config_files="a.yaml,b.yaml"), "--eval-batch-size=7", "--dry_run"]
        assert cli.main([*arguments, "--record=a.json"]) == 0
        config = read_record("a.json")["config"]
        assert (config["seed"], config["stopping_step"], config["eval_batch_size"]) == (1, 5, 7)

    def test_a_record_may_have_a_number_for_a_name(self, tiny_arguments):
        assert cli.main([*tiny_arguments(), "--dry_run", "--record=1"]) == 0
        assert read_record("1")["status"] == "dry_run"


class TestPretrain:
    def test_writes_weights_that_a_run_starts_from(self, tiny_arguments, tiny_path, make_dataset, monkeypatch, capsys):
        LetterEncoder.replace_all(monkeypatch)
        make_dataset(tiny_path, "other", seed=1)
        run_arguments = tiny_arguments(epochs=1)
        settings = [one for one in run_arguments if not one.startswith(("run", "--model", "--dataset"))]
        command = ["pretrain", "--domains=tiny,other", "--output=deep/weights.pth", *settings, "--record=a.json"]
        assert cli.main(command) == 0
        assert "start from them with --pretrained=deep/weights.pth" in capsys.readouterr().out
        assert read_record("a.json")["data"]["domains"] == ["tiny", "other"]
        assert cli.main([*run_arguments, "--pretrained=deep/weights.pth", "--record=b.json"]) == 0
        assert "starting from deep/weights.pth" in capsys.readouterr().out
        assert read_record("b.json")["config"]["pretrained"] == "deep/weights.pth"

    @pytest.mark.parametrize("missing", ["domains", "output"])
    def test_needs_domains_and_an_output(self, failing, missing):
        options = {"domains": "tiny", "output": "weights.pth"}
        arguments = [f"--{name}={value}" for name, value in options.items() if name != missing]
        assert failing("pretrain", *arguments) == f"pretrain needs --{missing}=VALUE"
