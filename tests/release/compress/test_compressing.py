"""The whole way from a checkpoint to a report, whose figures are recomputed from the files."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import torch
from release.compress.tiny_models import tiny_model
from safetensors.torch import save_file
from support import RestoredRun

from recbole_mpo.common.claims import claimed
from recbole_mpo.common.errors import CheckpointError, ConfigError, DataError
from recbole_mpo.layers.lora import LoRALinear, convert_to_lora
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.compress import Options, compress_checkpoint, load_compressed
from recbole_mpo.release.compress.compressed_files import ARTEFACTS
from recbole_mpo.release.compress.compressing import check_model, dense_copy
from recbole_mpo.release.compress.measuring import Measures
from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.recommend import Recommender

READ_AGAIN = """
import sys, torch
from safetensors.torch import load_file
from recbole_mpo.release.compress import load_compressed
given = load_file(sys.argv[1])
for number, folder in enumerate(sys.argv[2:]):
    model = load_compressed(folder)
    with torch.no_grad():
        vectors = model.encode_items()
        scores = model.score(model.encode_sequences(vectors, given["items"], given["lengths"]), vectors)
    assert torch.equal(scores, given[str(number)]), folder
assert "torchao" not in sys.modules
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Path of a trained UniSRec's checkpoint, and its settings."""
    from conftest import write_dataset

    folder = tmp_path_factory.mktemp("trained")
    write_dataset(folder / "data")
    settings = {
        "data_path": str(folder / "data"),
        "checkpoint_dir": str(folder / "saved"),
        "cache_dir": str(folder / "cache"),
        "text_encoder": "tfidf-svd",
        "show_progress": False,
        "use_gpu": False,
        "epochs": 2,
        "train_batch_size": 64,
        "hidden_size": 16,
        "inner_size": 16,
        "n_exps": 2,
        "seed": 7,
    }
    record = run("UniSRec", "tiny", (), settings)
    mpo = run("MPORec", "tiny", (), settings)
    expanded = run("MPORecExpand", "tiny", (), {**settings, "epochs": 1})
    names = {"UniSRec": record, "MPORec": mpo, "MPORecExpand": expanded}
    return {name: folder / "saved" / one["run_id"] / "best.pth" for name, one in names.items()}


def settings_of(path):
    """What a user gives: where the data are."""
    folder = path.parents[2]
    return {"data_path": str(folder / "data"), "cache_dir": str(folder / "cache")}


def compress(path, output, method, epochs=(0,), **options):
    return compress_checkpoint(path, output, Options(method, list(epochs), **options), settings_of(path))


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    """A report: checkpoint, folder and rows."""
    output = tmp_path_factory.mktemp("reported") / "compressed"
    return trained["UniSRec"], output, compress(trained["UniSRec"], output, "prune:0.9,svd:0.5", (0, 1))


class TestReport:
    def test_the_uncompressed_row_is_the_models_own_evaluation(self, reported):
        path, _, rows = reported
        results = evaluate_checkpoint(path, settings_of(path))
        assert rows[0]["name"] == "uncompressed"
        for split in ("valid", "test"):
            for metric, value in rows[0][split].items():
                assert value == results[split][metric]
        assert rows[0]["difference"]["test"]["ndcg@10"]["mean"] == 0 == rows[0]["scores"]["largest_difference"]

    def test_rows_are_the_variants_with_and_without_training(self, reported):
        names = [(row["name"], row["finetune_epochs"]) for row in reported[2]]
        expected = [(name, epochs) for name in ("uncompressed", "prune:0.9", "svd:0.5") for epochs in (0, 1)]
        assert names == expected

    def test_sizes_are_those_of_the_files(self, reported):
        _, output, rows = reported
        for row in rows:
            (folder,) = [path.parent for path in output.glob("*/record.json") if json.loads(path.read_text()) == row]
            for artefact, files in ARTEFACTS.items():
                assert row["bytes"][artefact] == sum((folder / name).stat().st_size for name in files)

    def test_pruned_entries_stay_zero_while_the_others_are_trained(self, reported):
        _, output, _ = reported
        before, after = (
            load_compressed(output / name, cached=False).state_dict() for name in ("prune-0.9", "prune-0.9-trained-1")
        )
        matrices = [name for name in before if ".experts." in name and name.endswith("lin.weight")]
        assert matrices
        for name in matrices:
            assert torch.equal(before[name] == 0, after[name] == 0)
            assert not torch.equal(before[name], after[name])

    def test_sparse_files_are_smaller(self, reported):
        rows = {(row["name"], row["finetune_epochs"]): row["bytes"]["files"] for row in reported[2]}
        for epochs in (0, 1):
            pruned = rows["prune:0.9", epochs]["adaptor.safetensors"]
            assert pruned < 0.6 * rows["uncompressed", 0]["adaptor.safetensors"]

    def test_it_is_written_in_all_forms_without_paths(self, reported):
        path, output, rows = reported
        report = json.loads((output / "report.json").read_text())
        assert report["rows"] == rows and report["written_by"] == "recbole-mpo compress"
        table = list(csv.DictReader((output / "report.csv").open()))
        assert [float(row["test.ndcg@10"]) for row in table] == [row["test"]["ndcg@10"] for row in rows]
        assert (output / "report.md").read_text().count("\n| ") == 1 + len(rows)
        assert (output / "report.svg").read_text() in (output / "report.html").read_text()
        for file in output.rglob("*.json"):
            assert str(path.parents[2]) not in file.read_text()

    def test_finished_variants_are_not_computed_again(self, reported, monkeypatch):
        path, output, rows = reported
        monkeypatch.setattr(Measures, "latencies", lambda *_: pytest.fail("measured again"))
        assert compress(path, output, "prune:0.9,svd:0.5", (0, 1)) == rows


CHAINS = ["svd:0.5+int8", "prune:0.9+int4", "mpo:3+fp16", "int8-fast", "mpo:4"]
CHAINS += ["heads:0.5+ffn:0.5+experts:0.5+feature-pca:0.5", "prune:0.5+fp16"]
CHAINS += ["feature-pca:0.5+item-pq:4", "item-pca:0.5+item-int8", "svd:0.5+int8-fast+item-svd:0.5+item-fp16"]


@pytest.fixture(scope="module")
def chains(trained, tmp_path_factory):
    """A checkpoint, the run of it, and the rows of all chains by folder."""
    path, output = trained["UniSRec"], tmp_path_factory.mktemp("chains") / "out"
    rows = compress(path, output, ",".join(CHAINS))[1:]
    folders = {output / row["name"].replace(":", "-"): row for row in rows}
    return path, RestoredRun(path, settings_of(path)), folders


def scores_of(model, items, lengths):
    with torch.no_grad():
        vectors = model.encode_items()
        return model.score(model.encode_sequences(vectors, items, lengths), vectors)


def test_a_fresh_process_gives_the_same_scores(chains, tmp_path):
    _, restored, folders = chains
    assert len(folders) == len(CHAINS)
    rows = Measures(restored.experiment, tmp_path).histories(20)
    given = {"items": rows[restored.model.ITEM_SEQ], "lengths": rows[restored.model.ITEM_SEQ_LEN]}
    scores = {str(n): scores_of(load_compressed(folder), **given) for n, folder in enumerate(folders)}
    save_file({**given, **scores}, tmp_path / "given.safetensors")
    arguments = [sys.executable, "-c", READ_AGAIN, str(tmp_path / "given.safetensors"), *map(str, folders)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_scores_are_those_that_were_measured(chains, tmp_path):
    """Those of the model that was evaluated, and of the one in its folder, from stored vectors or from features."""
    _, restored, folders = chains
    measures = Measures(restored.experiment, tmp_path)
    reference = measures.scores(restored.model)
    for folder, row in folders.items():
        if row["name"].startswith("item-") or row["name"] == "int8-fast":
            assert row["params"]["total"] == sum(parameter.numel() for parameter in restored.model.parameters())
        stored = measures.scores(load_compressed(folder))
        assert float((stored - reference).abs().max()) == row["scores"]["largest_difference"] > 0
        if "item-" not in row["name"]:
            assert torch.equal(stored, measures.scores(load_compressed(folder, cached=False)))


def test_an_mpo_model_is_reported_with_and_without_its_cores(trained, tmp_path):
    rows = compress(trained["MPORec"], tmp_path / "out", "squeeze:0.4")
    assert [row["name"] for row in rows] == ["as trained", "uncompressed", "squeeze:0.4"]
    results = evaluate_checkpoint(trained["MPORec"], settings_of(trained["MPORec"]))
    assert rows[0]["test"] == {name: results["test"][name] for name in rows[0]["test"]}
    assert rows[0]["params"]["total"] > rows[1]["params"]["total"] > rows[2]["params"]["total"]


def test_inserted_cores_are_compressed_as_part_of_their_matrices(trained, tmp_path):
    rows = compress(trained["MPORecExpand"], tmp_path / "out", "fp16")
    assert [row["name"] for row in rows] == ["uncompressed", "fp16"]
    results = evaluate_checkpoint(trained["MPORecExpand"], settings_of(trained["MPORecExpand"]))
    assert rows[0]["test"] == pytest.approx({name: results["test"][name] for name in rows[0]["test"]})


def test_what_is_not_trained_further_has_one_row_whatever_the_epochs(trained, tmp_path):
    rows = compress(trained["UniSRec"], tmp_path / "out", "fp16", (1, 2))
    assert [row["finetune_epochs"] for row in rows if row["name"] == "fp16"] == [0]


def test_a_target_ratio_chooses_the_strength(trained, tmp_path):
    rows = compress(trained["UniSRec"], tmp_path / "out", "svd", target_ratio=[0.8])
    ratio = rows[1]["bytes"]["checkpoint"] / rows[0]["bytes"]["checkpoint"]
    assert 0.7 < ratio <= 0.8
    assert rows[1]["name"].startswith("svd:0.") and (tmp_path / "out" / "svd-to-0.8" / "record.json").is_file()
    with pytest.raises(ConfigError, match="cannot reach target_ratio=0.01 at any strength"):
        compress(trained["UniSRec"], tmp_path / "out", "svd", target_ratio=[0.01])


def test_several_ratios_have_a_row_each(trained, tmp_path):
    rows = compress(trained["UniSRec"], tmp_path / "out", "svd,fp16", target_ratio=[0.9, 0.8], times="without")
    assert [row["ratio"] for row in rows] == [None, 0.9, 0.8, None]
    assert rows[1]["bytes"]["checkpoint"] > rows[2]["bytes"]["checkpoint"]


def test_times_can_be_taken_later(trained, tmp_path):
    path, output = trained["UniSRec"], tmp_path / "out"
    with pytest.raises(CheckpointError, match="no variant in .* is finished, whose times could be taken"):
        compress(path, output, "fp16", times="only")
    plain = compress(path, output, "fp16,svd:0.5+int8-fast", times="without")
    assert not any("latency_ms" in row or "load_seconds" in row for row in plain)
    assert (output / "report.svg").read_text().count("<path") == 4
    timed = compress(path, output, "fp16,svd:0.5+int8-fast,int8", times="only")
    assert [row["name"] for row in timed] == ["uncompressed", "fp16", "svd:0.5+int8-fast"]
    for row, before in zip(timed, plain, strict=True):
        assert row["latency_ms"]["batch_256"]["p50"] > 0 and row["load_seconds"] > 0
        assert {key: row[key] for key in before} == before
    again = compress(path, output, "fp16,svd:0.5+int8-fast", times="only")
    assert all(new["latency_ms"] != old["latency_ms"] for new, old in zip(again, timed, strict=True))
    assert compress(path, output, "fp16,svd:0.5+int8-fast") == again


def test_what_another_process_works_on_is_left_to_it(trained, tmp_path):
    path, output = trained["UniSRec"], tmp_path / "out"
    compress(path, output, "fp16", times="without")
    with claimed(output / "prune-0.5" / ".claim"):
        rows = compress(path, output, "fp16,prune:0.5,int4", times="without")
    assert [row["name"] for row in rows] == ["uncompressed", "fp16", "int4"]
    rows = compress(path, output, "fp16,prune:0.5,int4", times="without")
    assert [row["name"] for row in rows] == ["uncompressed", "fp16", "prune:0.5", "int4"]


def test_places_on_a_machine_do_not_matter_to_what_is_finished(trained, tmp_path):
    path, output = trained["UniSRec"], tmp_path / "out"
    rows = compress(path, output, "fp16")
    shutil.copytree(path.parents[2] / "data", tmp_path / "elsewhere")
    moved = {"data_path": str(tmp_path / "elsewhere"), "cache_dir": str(tmp_path / "cache"), "use_gpu": True}
    assert compress_checkpoint(path, output, Options("fp16"), moved) == rows
    others = compress_checkpoint(path, output, Options("fp16"), {**moved, "seed": 3})
    assert others[1]["identity"] != rows[1]["identity"]


def test_low_rank_updates_are_merged_first():
    model = tiny_model()
    convert_to_lora(model, ["moe_adaptor.experts.*.lin"], 2, 4)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            torch.nn.init.normal_(module.lora_B)
    dense = dense_copy(model)
    assert not any(isinstance(module, LoRALinear) for module in dense.modules())
    assert all(parameter.requires_grad for parameter in dense.parameters())
    with torch.no_grad():
        assert torch.allclose(dense.encode_items(), model.encode_items(), atol=1e-5)
        assert not torch.allclose(dense.encode_items(), tiny_model().encode_items(), atol=1e-2)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"adapter": "patches", "patch_reduction": 4}, r"it has patches \(adapter=patches\)"),
        ({"item_input": "text+id", "id_side": "output"}, r"ids score its items too \(id_side=output\)"),
        ({"item_input": "id"}, "it is of UniSRec; compress works with UniSRec, MPORec and LoRA that read text"),
    ],
)
def test_models_that_cannot_be_compressed_are_named(settings, message):
    with pytest.raises(CheckpointError, match=f"checkpoint a.pth cannot be compressed: {message}"):
        check_model(tiny_model(**settings), "UniSRec", "a.pth")


class TestRefusals:
    def test_a_folder_of_others(self, trained, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").write_text("mine")
        with pytest.raises(CheckpointError, match="out exists and is not of compress; name another folder"):
            compress(trained["UniSRec"], tmp_path / "out", "fp16")
        with pytest.raises(CheckpointError, match="notes.txt is a file; name a folder"):
            compress(trained["UniSRec"], tmp_path / "out" / "notes.txt", "fp16")

    @pytest.mark.parametrize(
        "options, message",
        [
            (dict(target_ratio=[1.5]), "target_ratio must be between 0 and 1, not 1.5"),
            (dict(l1=-1.0), "l1 must be at least 0"),
            (dict(l1=0.1), "l1 has no effect without finetune_epochs"),
            (dict(finetune_epochs=[-1]), "finetune_epochs must be whole numbers from 0 up"),
        ],
    )
    def test_options_out_of_range(self, trained, tmp_path, options, message):
        with pytest.raises(ConfigError, match=message):
            compress_checkpoint(trained["UniSRec"], tmp_path / "out", Options("fp16", **options))
        assert not (tmp_path / "out").exists()


def test_a_variants_folder_is_a_model_folder(chains):
    """Whatever the method: it recommends without the dataset, with titles and the parts of scores."""
    _, restored, folders = chains
    whole = Recommender.of(restored.experiment, restored.model)
    for folder, row in folders.items():
        recommender = Recommender.from_pretrained(folder)
        (items,) = recommender.recommend([["i3", "i5"]], topk=5)
        assert len(items) == 5 and all(item.title == whole.titles[item.token] for item in items), row["name"]
        (parts,) = recommender.explain_each([["i3", "i5"]], [[item.token for item in items]])
        assert [part["text"] for part in parts] == pytest.approx([item.score for item in items], abs=1e-4)
        assert recommender.search("lamp", 1) == whole.search("lamp", 1)
    with pytest.raises(DataError, match="a compressed model has item vectors, and not what computes those of new"):
        recommender.recommend([[NewText("red lamp")]])
    with pytest.raises(CheckpointError, match="this model is compressed, and has a folder already: copy that"):
        recommender.save_pretrained(folder.parent / "again")


def test_scores_of_a_variants_folder_are_the_models(chains, tmp_path):
    _, restored, folders = chains
    folder = next(folder for folder in folders if folder.name == "mpo-4")
    scores = Measures(restored.experiment, tmp_path).scores(load_compressed(folder))
    recommender = Recommender.from_pretrained(folder)
    measured = Measures(restored.experiment, tmp_path).histories(1)
    tokens = recommender.tokens
    length = int(measured[restored.model.ITEM_SEQ_LEN][0])
    history = [tokens[row] for row in measured[restored.model.ITEM_SEQ][0, :length].tolist()]
    (items,) = recommender.recommend([history], topk=3)
    for item in items:
        assert item.score == pytest.approx(float(scores[0, tokens.index(item.token) - 1]), abs=1e-4)
