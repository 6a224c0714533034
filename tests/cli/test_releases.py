"""``merge``, ``adapter``, ``export``, ``recommend`` and ``compress``: what they need, and what they call."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from release.compress.report_rows import ROWS

from recbole_mpo.cli import main as cli
from recbole_mpo.release import adapter_checkpoints, compress, export, merge, onnx_export, recommend
from recbole_mpo.release.compress import Options
from recbole_mpo.release.recommend import Recommended


def test_merge_passes_its_files_and_settings_on(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(merge, "merge_checkpoint", lambda *arguments: calls.append(arguments))
    assert cli.main(["merge", "--checkpoint=a.pth", "--output=007", "--data_path=1", "--seed=1"]) == 0
    assert cli.main(["merge", "--checkpoint=a.pth", "--output=b", "--layout=unisrec"]) == 0
    assert calls == [("a.pth", "007", {"data_path": "1", "seed": 1}, "own"), ("a.pth", "b", {}, "unisrec")]
    assert capsys.readouterr().out == "wrote 007\nwrote b\n"


def test_merge_needs_its_files(failing):
    assert failing("merge", "--checkpoint=a.pth") == "merge needs --output=VALUE"
    assert failing("merge", "--output=a.pth") == "merge needs --checkpoint=VALUE"
    said = failing("merge", "--output=a.pth", "--checkpoint=b.pth", "--layout=theirs")
    assert said == "layout is 'theirs'; choose one of own, unisrec"


class TestAdapter:
    @pytest.fixture
    def calls(self, monkeypatch):
        calls = []

        class Sizes:
            def as_text(self):
                return "sizes"

            def as_object(self):
                return {"share_of_weights": 0.5}

        monkeypatch.setattr(adapter_checkpoints, "take_adapter", lambda *arguments: calls.append(arguments) or Sizes())
        monkeypatch.setattr(adapter_checkpoints, "put_back", lambda *arguments: calls.append(arguments))
        return calls

    def test_one_is_taken_and_its_sizes_are_printed(self, calls, capsys, tmp_path):
        arguments = ["adapter", "--checkpoint=a.pth", "--base=b.pth", "--output=c", f"--report={tmp_path / 'r.json'}"]
        assert cli.main([*arguments, "--frozen=stored"]) == 0
        assert calls == [("a.pth", "b.pth", "c", "stored")]
        assert capsys.readouterr().out == "sizes\nwrote c\n"
        assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {"share_of_weights": 0.5}

    def test_one_is_put_back(self, calls, capsys):
        assert cli.main(["adapter", "--adapter=a", "--base=b.pth", "--output=c.pth"]) == 0
        assert calls == [("a", "b.pth", "c.pth")]
        assert capsys.readouterr().out == "wrote c.pth\n"

    @pytest.mark.parametrize("given", [(), ("--checkpoint=a", "--adapter=b")])
    def test_it_does_one_of_both(self, failing, calls, given):
        message = "adapter needs either --checkpoint=FILE, to take an adapter, or --adapter=FILE, to put it back"
        assert failing("adapter", "--base=b", "--output=c", *given) == message
        assert not calls

    @pytest.mark.parametrize("given", ["--report=r.json", "--frozen=stored"])
    def test_putting_back_takes_no_options_of_the_other(self, failing, calls, given):
        message = "--report and --frozen are for taking an adapter, with --checkpoint=FILE"
        assert failing("adapter", "--base=b", "--output=c", "--adapter=a", given) == message


def test_export_passes_its_files_and_settings_on(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(export, "export_checkpoint", lambda *arguments: calls.append(arguments))
    assert cli.main(["export", "--checkpoint=a.pth", "--output=007", "--seed=1"]) == 0
    assert calls == [("a.pth", "007", {"seed": 1})]
    assert capsys.readouterr().out == "wrote 007\n"


def test_export_writes_graphs_where_asked_to(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(onnx_export, "export_onnx", lambda *arguments: calls.append(arguments))
    assert cli.main(["export", "--checkpoint=a.pth", "--output=b", "--format=onnx", "--seed=1"]) == 0
    assert calls == [("a.pth", "b", {"seed": 1})]
    assert capsys.readouterr().out == "wrote b\n"


def test_export_needs_its_files(failing):
    assert failing("export", "--checkpoint=a.pth") == "export needs --output=VALUE"
    assert failing("export", "--output=a") == "export needs --checkpoint=VALUE"


@dataclass
class EchoRecommender:
    """Recommends what it was asked for."""

    path: str
    settings: dict
    topk_by: str = "float32"
    index_file: str | None = None

    def index_recall(self):
        return 0.987 if self.topk_by == "index" else None

    def recommend(self, histories, topk):
        return [[Recommended(f"{self.path} {topk}", 0.5, "title")] for _ in histories]

    def as_text(self, history, recommended):
        return f"{history} {[item.token for item in recommended]} {self.settings}"


class TestRecommend:
    @pytest.fixture(autouse=True)
    def echo(self, monkeypatch):
        monkeypatch.setattr(recommend.Recommender, "from_checkpoint", EchoRecommender)

    def test_a_model_folder_needs_no_checkpoint(self, monkeypatch, capsys):
        def from_pretrained(folder, topk_by, index_file):
            return EchoRecommender(folder, {"topk_by": topk_by, "index_file": index_file}, topk_by)

        monkeypatch.setattr(recommend.Recommender, "from_pretrained", from_pretrained)
        assert cli.main(["recommend", "--model_folder=m", "--items=a", "--topk=2", "--topk_by=int8"]) == 0
        assert capsys.readouterr() == ("['a'] ['m 2'] {'topk_by': 'int8', 'index_file': None}\n", "")

    def test_what_an_index_finds_is_told_beside_the_answer(self, capsys):
        arguments = ["recommend", "--checkpoint=a.pth", "--items=b", "--format=json", "--topk_by=index"]
        assert cli.main([*arguments, "--index_file=i.index"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["items"] == ["b"]
        assert err == "the index finds 98.7% of the best ten (histories of one item each)\n"

    def test_tokens_stay_text(self, capsys):
        arguments = ["recommend", "--checkpoint=a.pth", "--items=007, 1e3,,true", "--seed=1"]
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == "['007', '1e3', 'true'] ['a.pth 10'] {'seed': 1}\n"

    def test_each_history_of_a_file_has_its_line(self, capsys):
        Path("h.txt").write_text("a b\nc\n")
        assert cli.main(["recommend", "--checkpoint=a.pth", "--histories=h.txt", "--topk=3"]) == 0
        assert capsys.readouterr().out == "['a', 'b'] ['a.pth 3'] {}\n['c'] ['a.pth 3'] {}\n"

    def test_an_item_is_taken_as_written_and_may_be_repeated(self, capsys):
        arguments = ["recommend", "--checkpoint=a.pth", "--item=a, b", "--item=007", "--item=a, b", "--item= c=d "]
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == "['a, b', '007', 'a, b', ' c=d '] ['a.pth 10'] {}\n"

    def test_formats(self, capsys):
        arguments = ["recommend", "--checkpoint=a.pth", "--items=b"]
        assert cli.main([*arguments, "--format=json"]) == 0
        recommended = [{"item_id": "a.pth 10", "score": 0.5, "title": "title"}]
        assert json.loads(capsys.readouterr().out) == {"user_id": "1", "items": ["b"], "recommended": recommended}
        assert cli.main([*arguments, "--format=csv"]) == 0
        assert capsys.readouterr().out == "user_id,rank,item_id,score,title\n1,1,a.pth 10,0.5,title\n"

    def test_help_names_the_option_that_repeats(self, capsys):
        assert cli.main(["recommend", "--help"]) == 0
        assert "--item=TOKEN" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "recommend needs either --checkpoint=FILE or --model_folder=DIR"),
            (["--items=a"], "recommend needs either --checkpoint=FILE or --model_folder=DIR"),
            (["--checkpoint=a", "--model_folder=b"], "recommend needs either --checkpoint=FILE or --model_folder=DIR"),
            (["--model_folder=b", "--items=a", "--seed=1"], "seed is a setting for --checkpoint; a model folder has"),
            (["--model_folder=/no/such", "--items=a"], "model folder /no/such does not exist"),
            (["--checkpoint=a"], "recommend needs either --items=token,token or --histories=FILE"),
            (["--checkpoint=a", "--items=b", "--histories=c"], "recommend needs either --items=token,token or"),
            (["--checkpoint=a", "--items=b", "--item=c"], "recommend needs either --items=token,token or"),
            (["--checkpoint=a", "--items=b", "--format=xml"], "format is 'xml'; choose one of text, json, csv"),
            (["--checkpoint=a", "--item", "b"], "argument '--item' is not understood; write --item=VALUE"),
            (["--checkpoint=a", "--items=b", "--topk=0"], "topk must be a positive whole number, not 0"),
            (["--checkpoint=a", "--items=b", "--topk=many"], "topk must be a positive whole number, not 'many'"),
            (["--checkpoint=a", "--items", "b"], "argument '--items' is not understood; write --items=VALUE"),
        ],
    )
    def test_mistakes_are_told(self, failing, arguments, message):
        assert failing("recommend", *arguments).startswith(message)


class TestCompress:
    def test_it_passes_options_and_settings_on(self, monkeypatch, capsys):
        calls = []

        def record(*arguments):
            calls.append(arguments)
            return ROWS

        monkeypatch.setattr(compress, "compress_checkpoint", record)
        arguments = ["compress", "--checkpoint=a.pth", "--output=out", "--method=prune:0.5,svd:0.5+int8", "--seed=1"]
        assert cli.main(arguments) == 0
        others = ["--finetune_epochs=0,5", "--l1=1e-4", "--target_ratio=.5,.75", "--largest_drop=0"]
        assert cli.main([*arguments, *others]) == 0
        assert cli.main([*arguments, "--target_ratio=.5", "--times=only"]) == 0
        first = Options("prune:0.5,svd:0.5+int8")
        third = Options("prune:0.5,svd:0.5+int8", target_ratio=[0.5], times="only")
        second = Options("prune:0.5,svd:0.5+int8", [0, 5], 1e-4, [0.5, 0.75], 0.0)
        assert calls == [("a.pth", "out", options, {"seed": 1}) for options in (first, second, third)]
        out = capsys.readouterr().out
        assert out.count("| svd:0.5, trained 5 epochs |") == 3 and out.endswith("wrote out\n")

    def test_it_needs_a_checkpoint_a_method_and_a_folder(self, failing):
        assert failing("compress", "--checkpoint=a.pth", "--output=out") == "compress needs --method=VALUE"
        said = failing("compress", "--checkpoint=a.pth", "--output=out", "--method=prun:0.5")
        assert said.startswith("unknown method 'prun' (did you mean 'prune'?)")
        said = failing("compress", "--checkpoint=a.pth", "--output=out", "--method=int8", "--finetune_epochs=x")
        assert said == "finetune_epochs must be whole numbers like N,N, not 'x'"
