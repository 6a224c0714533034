"""Model folders: what is read recommends what was written, and a folder that does not fit together is refused."""

import json
import subprocess
import sys

import pytest
import torch
from model_folders import EVIDENCE, HISTORIES, answers, edit, recommender_of, sign
from safetensors.torch import load_file, save_file

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.model_folder import read_folder
from recbole_mpo.release.recommend import Recommender

MODELS = {
    "text": ("UniSRec", {}),
    "mpo": ("MPORec", {"evidence": EVIDENCE}),
    "expand": ("MPORecExpand", {"mpo_target_modules": "all-linear"}),
    "lora": ("LoRA", {"lora_rank": 2}),
    "patches": ("UniSRec", {"adapter": "patches"}),
    "ids in scores": ("UniSRec", {"item_input": "text+id", "evidence": ["covisit"]}),
    "ids in vectors": ("MPORec", {"item_input": "text+id", "id_side": "both"}),
    "ids": ("UniSRec", {"item_input": "id", "evidence": ["words"]}),
    "SASRec": ("SASRecCE", {"item_input": "id"}),
    "SASRec of text": ("SASRecCE", {"item_input": "text", "evidence": ["two_hop"]}),
    "PeterRec": ("PeterRec", {"item_input": "text"}),
    "PeterRec of ids": ("PeterRec", {"item_input": "id"}),
    "sampled": ("UniSRec", {"loss": "sampled"}),
    "tasks": ("UniSRec", {"tasks": ["nip", "mip"], "cross_task": "attention"}),
}


def settings_for(name, tiny_settings):
    unused = ("n_exps", "inner_size") if name == "PeterRec" else ("n_exps",) if name == "SASRecCE" else ()
    return {key: value for key, value in tiny_settings.items() if key not in unused}


@pytest.mark.parametrize("case", MODELS)
def test_a_folder_recommends_what_the_model_does(tiny_settings, tiny_path, tmp_path, case):
    name, changes = MODELS[case]
    with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
        file.write("new\tred wooden lamp number 3.\nblank\t...\n")
    recommender = recommender_of(settings_for(name, tiny_settings), name, **changes)
    recommender.save_pretrained(tmp_path / "m")
    read = Recommender.from_pretrained(tmp_path / "m")
    assert read.tokens == recommender.tokens and ("new" in read.tokens) == recommender.model.scores_text_alone
    assert answers(read, topk=40) == answers(recommender, topk=40)
    for history in HISTORIES:
        assert read.explain(history, read.tokens[1:]) == recommender.explain(history, read.tokens[1:])


class TestWithoutADataset:
    @pytest.fixture
    def saved(self, tiny_settings, tmp_path):
        recommender = recommender_of(tiny_settings, "MPORec", evidence=EVIDENCE)
        recommender.save_pretrained(tmp_path / "m")
        return recommender, tmp_path / "m"

    def test_a_new_process_in_an_empty_folder_loads_it(self, saved, tiny_path, tmp_path):
        recommender, folder = saved
        expected = answers(recommender)
        tiny_path.rename(tmp_path / "gone")
        (tmp_path / "empty").mkdir()
        code = (
            "import json, sys\n"
            "sys.modules['sentence_transformers'] = None\n"
            "from recbole_mpo.release import Recommender\n"
            f"found = Recommender.from_pretrained({str(folder)!r}).recommend({HISTORIES!r})\n"
            "print(json.dumps([[(item.token, item.score, item.title) for item in one] for one in found]))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        for one, other in zip(found, expected, strict=True):
            assert [(token, title) for token, _, title in one] == [(token, title) for token, _, title in other]
            assert [score for _, score, _ in one] == pytest.approx([score for _, score, _ in other], abs=1e-6)
        assert list((tmp_path / "empty").iterdir()) == []

    def test_no_file_names_this_machine(self, saved, tmp_path):
        _, folder = saved
        for path in folder.iterdir():
            content = path.read_bytes()
            assert str(tmp_path).encode() not in content and b"/tmp" not in content, path.name
        assert not {"data_path", "cache_dir", "checkpoint_dir", "pretrained"} & set(read_folder(folder).origin.settings)

    def test_weights_are_dense_and_rows_are_those_of_the_vectors(self, saved):
        recommender, folder = saved
        content = read_folder(folder)
        assert content.origin.model == "UniSRec" and content.origin.run["trained_as"] == "MPORec"
        assert not any("cores" in name for name in content.weights)
        assert len(content.item_vectors) == len(content.tokens) == 31
        lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        assert [line["item"] for line in lines] == recommender.tokens
        assert [line["title"] for line in lines[1:]] == [recommender.titles[token] for token in recommender.tokens[1:]]

    def test_a_folder_that_was_read_is_written_as_it_was(self, saved, tmp_path):
        _, folder = saved
        Recommender.from_pretrained(folder).save_pretrained(tmp_path / "again")
        for path in folder.iterdir():
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name

    def test_loading_draws_no_random_number(self, saved):
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        Recommender.from_pretrained(saved[1])
        assert torch.equal(torch.rand(4), expected)

    def test_the_cards_example_runs(self, saved, monkeypatch, capsys):
        recommender, folder = saved
        assert recommender.titles[recommender.tokens[1]]
        code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
        exec(compile(code.replace("this/folder", str(folder)), "README.md", "exec"), {})
        assert "Recommended(token=" in capsys.readouterr().out


def tensors(folder, name, change):
    """Change the tensors of a file."""
    content = load_file(folder / name)
    change(content)
    save_file({key: value.contiguous() for key, value in content.items()}, folder / name)
    sign(folder, name)


def setting(key, value):
    return lambda content: content["settings"].update({key: value})


def swap(content, first, second):
    content[first], content[second] = content[second].clone(), content[first].clone()


def put(key, place, value):
    def change(content):
        content[key][place] = value

    return change


TENSOR_FAULTS = {
    "swapped shapes": ("model", lambda content: swap(content, "position_embedding.weight", "LayerNorm.bias"), "archit"),
    "a weight less": ("model", lambda content: content.pop("LayerNorm.bias"), "of another architecture: .*LayerNorm"),
    "a weight more": ("model", lambda content: content.update(extra=torch.ones(2)), "of another architecture: .*extra"),
    "infinite weights": ("model", put("LayerNorm.bias", 0, torch.inf), "infinite or not a number"),
    "whole numbers": (
        "model",
        lambda content: content.update({"LayerNorm.bias": torch.ones(16).int()}),
        "another kind",
    ),
    "no vectors": ("item_vectors", lambda content: content.update(other=content.pop("item_vectors")), "no matrix"),
    "infinite vectors": ("item_vectors", put("item_vectors", (3, 2), torch.nan), "no matrix item_vectors of finite"),
    "too few vectors": (
        "item_vectors",
        lambda content: content.update(item_vectors=content["item_vectors"][:-1]),
        "does not fit together: 31 items, 30 vectors",
    ),
    "narrow vectors": (
        "item_vectors",
        lambda content: content.update(item_vectors=content["item_vectors"][:, :-1]),
        "item vectors of 15 numbers, its model has 16",
    ),
    "columns outside": ("evidence", put("covisit.columns", 0, 31), "no usable table of 'covisit'"),
    "negative columns": ("evidence", put("words.columns", 0, -1), "no usable table of 'words'"),
    "starts outside": ("evidence", put("two_hop.starts", (0, 5), 10**12), "no usable table of 'two_hop'"),
    "negative values": ("evidence", put("covisit.values", 0, -1.0), "no usable table of 'covisit'"),
    "a kind less": (
        "evidence",
        lambda content: [content.pop(f"covisit.{part}") for part in ("starts", "columns", "values")],
        "tables of evidence for two_hop, words, its settings name covisit, two_hop, words",
    ),
    "no fitted words": ("evidence", lambda content: content.pop("fitted_words.terms"), "no usable part terms"),
    "impossible words": ("evidence", put("fitted_words.frequencies", 0, 10**6), "impossible numbers"),
    "a wrong scale": ("text", put("scale", 0, -1.0), "it should be one positive number"),
}
CONFIG_FAULTS = {
    "a newer format": (lambda content: content.update(format_version=2), "has format 2, .*: update recbole_mpo"),
    "no format": (lambda content: content.pop("format_version"), "does not say which format"),
    "a true format": (lambda content: content.update(format_version=True), "does not say which format"),
    "no settings": (lambda content: content.pop("settings"), "config.json has no usable settings"),
    "items as text": (lambda content: content.update(items="31"), "config.json has no usable items"),
    "more items": (lambda content: content.update(items=32), "does not fit together"),
    "no item": (lambda content: content.update(items=0), "does not fit together"),
    "fewer items": (lambda content: content.update(items=30), "no usable table|architecture"),
    "other candidates": (lambda content: content.update(candidates=3), "does not fit together: 31 items, .* 3 cand"),
    "a model of RecBole": (lambda content: content.update(model="GRU4Rec"), "'GRU4Rec', which has no folder"),
    "a model that counts": (lambda content: content.update(model="CoVisit"), "'CoVisit', which has no folder"),
    "a model of graphs": (lambda content: content.update(model="CCDR"), "'CCDR', which has no folder"),
    "code as a model": (lambda content: content.update(model="os.system"), "'os.system', which has no folder"),
    "a wide model": (setting("hidden_size", 10**9), "settings of a larger model than its weights"),
    "a huge number": (
        setting("hidden_size", 10**18),
        "config.json is damaged: the number 1000000000000000.* too large",
    ),
    "endless layers": (setting("n_layers", 10**9), "n_layers 1000000000, and [0-9]+ weights"),
    "endless experts": (setting("n_exps", 10**9), "n_exps 1000000000, and [0-9]+ weights"),
    "a huge table": (setting("MAX_ITEM_LIST_LENGTH", 10**12), "settings of a larger model"),
    "many features": (
        lambda content: content.update(feature_size=10**9),
        "feature_size 1000000000, which no weight has",
    ),
    "another width": (setting("hidden_size", 32), "of another architecture"),
    "a text as width": (setting("hidden_size", "wide"), "hidden_size"),
    "a dataset elsewhere": (setting("dataset", "../../etc"), "dataset"),
    "no dataset": (lambda content: content["settings"].pop("dataset"), "dataset"),
    "encoders of nothing": (lambda content: content.update(encoders=[None]), "config.json has no usable encoders"),
    "encoders as text": (lambda content: content.update(encoders="minilm"), "config.json has no usable encoders"),
}


class TestDamage:
    """Each folder has the right hashes: its maker is careless or hostile, not the disk."""

    @pytest.fixture
    def folder(self, tiny_settings, tmp_path):
        recommender_of(tiny_settings, "UniSRec", evidence=EVIDENCE).save_pretrained(tmp_path / "m")
        return tmp_path / "m"

    @pytest.mark.parametrize("fault", TENSOR_FAULTS)
    def test_tensors_that_do_not_fit(self, folder, fault):
        name, change, message = TENSOR_FAULTS[fault]
        tensors(folder, f"{name}.safetensors", change)
        with pytest.raises(CheckpointError, match=message) as caught:
            Recommender.from_pretrained(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600

    @pytest.mark.parametrize("fault", CONFIG_FAULTS)
    def test_settings_that_do_not_fit(self, folder, fault):
        change, message = CONFIG_FAULTS[fault]
        edit(folder, "config.json", lambda content: change(content) and None)
        with pytest.raises(CheckpointError, match=message) as caught:
            Recommender.from_pretrained(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"[]\n", "items.jsonl, line 32: not"),
            (b"{\n", "items.jsonl, line 32: not"),
            (b'{"item": "x"}\n', "items.jsonl, line 32: not"),
            (b'{"item": 3, "title": ""}\n', "items.jsonl, line 32: 3 is not a text"),
            (b'{"item": "i3", "title": ""}\n', "items.jsonl, line 32: 'i3' is not a text or occurs twice"),
            (b'{"item": "x", "title": ""}\n', "does not fit together: 32 items, 31 vectors"),
            (b"\xff\n", "items.jsonl"),
            (b"[" * 100_000 + b"\n", "items.jsonl, line 32: not"),
        ],
    )
    def test_items_that_are_none(self, folder, line, message):
        edit(folder, "items.jsonl", lambda content: content + line)
        with pytest.raises(CheckpointError, match=message):
            Recommender.from_pretrained(folder)

    def test_items_without_padding(self, folder):
        edit(folder, "items.jsonl", lambda content: content.replace(b"[PAD]", b"first", 1))
        with pytest.raises(CheckpointError, match="must begin with"):
            Recommender.from_pretrained(folder)

    @pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 64, b"\x10\x00\x00\x00\x00\x00\x00\x00notjson"])
    def test_weights_that_are_no_safetensors(self, folder, content):
        edit(folder, "model.safetensors", lambda _: content)
        with pytest.raises(CheckpointError, match="model.safetensors is damaged"):
            Recommender.from_pretrained(folder)

    def test_an_absent_table(self, folder):
        (folder / "evidence.safetensors").unlink()
        edit(folder, "manifest.json", lambda content: content["files"].pop("evidence.safetensors") and None)
        with pytest.raises(CheckpointError, match="tables of evidence for nothing"):
            Recommender.from_pretrained(folder)
