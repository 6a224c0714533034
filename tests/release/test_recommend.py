"""Recommendations: raw tokens in, best candidates out, scored as the model scores them."""

import csv
import gc
import io
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import recommender_of as moved_recommender
from support import LetterEncoder, RestoredRun, built_run

from recbole_mpo.cli.main import main
from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.quick_start.pretrain import pretrain
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommended, Recommender
from recbole_mpo.release.recommender_parts import parts_of_experiment

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


@pytest.fixture
def untrained(tiny_settings):
    """Makes the experiment of an untrained model; keywords are settings."""

    def make(model="MPORec", dataset="tiny", **settings):
        return built_run(model, dataset, (), {**tiny_settings, **settings})

    return make


@pytest.fixture
def with_text_only(tiny_path):
    """Adds to ``tiny`` an item that only has text, and one with neither interaction nor words."""
    with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
        file.write("new\tred wooden lamp number 3.\nblank\t...\n")


def recommender_of(untrained_run):
    return Recommender.of(untrained_run.experiment, untrained_run.model)


def scores_by_hand(experiment, history):
    """Logit of each token after a history, one padded row through the model itself."""
    model, dataset = experiment.model.eval(), experiment.dataset
    field = dataset.iid_field
    rows = torch.tensor([[dataset.token2id(field, token) for token in history]])
    with torch.no_grad():
        vectors = model.encode_items()
        states = model.encode_sequences(vectors, rows, torch.tensor([len(history)]))
        scores = model.score(states, vectors)[0]
    return dict(zip(dataset.field2id_token[field].tolist(), scores.tolist(), strict=True))


@pytest.mark.parametrize("model", ["UniSRec", "MPORec", "MPORecExpand"])
def test_scores_are_the_models_and_order_is_theirs(untrained, model):
    experiment = untrained(model)
    history = ["i3", "i4", "i9"]
    (found,) = recommender_of(experiment).recommend([history], topk=100)
    expected = scores_by_hand(experiment, history)
    assert {item.token for item in found} == set(expected) - {"[PAD]", *history}
    assert [item.score for item in found] == pytest.approx([expected[item.token] for item in found], abs=1e-4)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


def test_topk_cuts_the_list_and_histories_in_one_call_do_not_mix(untrained):
    recommender = recommender_of(untrained())
    histories = [["i1"], ["i2", "i3", "i4", "i5"], ["i1", "i1"]]
    together = recommender.recommend(histories, topk=5)
    assert [len(found) for found in together] == [5, 5, 5]
    for history, found in zip(histories, together, strict=True):
        (alone,) = recommender.recommend([history], topk=5)
        assert [item.token for item in alone] == [item.token for item in found]
        assert [item.score for item in alone] == pytest.approx([item.score for item in found], abs=1e-5)


def test_history_items_and_padding_are_left_out(untrained):
    recommender = recommender_of(untrained())
    everything = [f"i{number}" for number in range(30)]
    (found,) = recommender.recommend([everything[:-2]], topk=30)
    assert {item.token for item in found} == set(everything[-2:])
    assert recommender.recommend([everything]) == [[]]


def test_items_older_than_the_model_sees_are_still_left_out(untrained):
    recommender = recommender_of(untrained(MAX_ITEM_LIST_LENGTH=5))
    history = [f"i{number}" for number in range(12)]
    (found,) = recommender.recommend([history], topk=30)
    assert {item.token for item in found} == {f"i{number}" for number in range(12, 30)}


def test_of_a_long_history_the_newest_50_count(untrained):
    recommender = recommender_of(untrained())
    newest = [f"i{number % 9}" for number in range(50)]
    (long,), (short,) = (recommender.recommend([history], topk=30) for history in (["i20", "i21", *newest], newest))
    seen = {item.token: item.score for item in short}
    assert {"i20", "i21"} == set(seen) - {item.token for item in long}
    assert [item.score for item in long] == pytest.approx([seen[item.token] for item in long], abs=1e-6)


def test_titles_are_the_items_text(untrained, tiny_path):
    lines = (tiny_path / "tiny" / "tiny.text").read_text(encoding="utf-8").splitlines()[1:]
    titles = dict(line.split("\t") for line in lines)
    recommender = recommender_of(untrained())
    (found,) = recommender.recommend([["i3"]], topk=3)
    assert [item.title for item in found] == [titles[item.token] for item in found]
    text = recommender.as_text(["i3"], found)
    assert all(item.token in text and item.title in text for item in found) and titles["i3"] in text


@pytest.mark.parametrize("token", ["7", "B000123456", "a token of many characters"])
def test_columns_of_the_text_stand_apart_however_long_a_token_is(untrained, token):
    recommender = recommender_of(untrained())
    shown = recommender.as_text([token], [Recommended(token, 5.4701, "A title"), Recommended("x", -12.5, "y" * 99)])
    history, first, second = [line for line in shown.splitlines() if line.startswith("  ")]
    assert history.split() == token.split()
    assert first.strip() == f"5.47  {token}  A title"
    assert second.strip().startswith("-12.50  ") and second.endswith("  " + "y" * 69 + "…")
    assert first.index("A title") == second.index("yyy")


def test_text_of_the_data_does_not_steer_the_terminal(untrained):
    recommender = recommender_of(untrained())
    recommender.titles["a\x1b[2J"] = "one\ntwo\x1b]0;title\x07"
    shown = recommender.as_text(["a\x1b[2J"], [Recommended("b\x07", 1.0, "x\u202ey")])
    assert len(shown.splitlines()) == 4
    assert all(character.isprintable() or character == "\n" for character in shown)


class TestTextOnlyItems:
    def test_are_candidates_and_history_where_text_is_all(self, untrained, with_text_only):
        recommender = recommender_of(untrained(item_input="text"))
        (found,) = recommender.recommend([["i3"]], topk=100)
        assert "new" in {item.token for item in found}
        (after,) = recommender.recommend([["i3", "new"]], topk=100)
        assert "new" not in {item.token for item in after} and len(after) == 29

    def test_score_as_the_same_text_with_interactions(self, untrained, tiny_path):
        title = (tiny_path / "tiny" / "tiny.text").read_text(encoding="utf-8").splitlines()[6].split("\t")[1]
        with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
            file.write(f"twin\t{title}\n")
        (found,) = recommender_of(untrained()).recommend([["i3"]], topk=100)
        score_of = {item.token: item.score for item in found}
        (original,) = [item.token for item in found if item.title == title and item.token != "twin"]
        assert score_of["twin"] == pytest.approx(score_of[original], abs=1e-5)

    def test_without_words_are_nothing_to_recommend(self, untrained, with_text_only):
        (found,) = recommender_of(untrained()).recommend([["i3"]], topk=100)
        assert "blank" not in {item.token for item in found}

    @pytest.mark.parametrize("changes", [{"item_input": "text+id", "id_side": "both"}, {"item_input": "id"}])
    def test_are_no_candidates_where_ids_count(self, untrained, with_text_only, changes):
        recommender = recommender_of(untrained("UniSRec", **changes))
        (found,) = recommender.recommend([["i3"]], topk=100)
        assert len(found) == 29 and "new" not in {item.token for item in found}
        with pytest.raises(DataError, match="unknown item 'new'"):
            recommender.recommend([["new"]])

    def test_are_candidates_where_ids_stand_in_the_scores_alone(self, untrained, with_text_only):
        recommender = recommender_of(untrained("UniSRec", item_input="text+id"))
        (found,), (after,) = recommender.recommend([["i3"]], topk=100), recommender.recommend([["new"]], topk=3)
        assert "new" in {item.token for item in found} and len(after) == 3


class TestInput:
    def test_unknown_tokens_are_named_with_a_suggestion(self, untrained):
        with pytest.raises(DataError, match=r"unknown item 'i333', '\[PAD\]' \(did you mean 'i[0-9]+'\?\)"):
            recommender_of(untrained()).recommend([["i3", "i333", "[PAD]"]])

    def test_many_or_endless_tokens_make_a_short_message(self, untrained):
        history = ["x" * 200_000, *(f"none{number}" for number in range(1000))]
        with pytest.raises(DataError, match=r"unknown item 'xx.*xx', 'none0', .*, …: it must be in the") as caught:
            recommender_of(untrained()).recommend([history])
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize("topk", [0, -1])
    def test_no_number_of_items(self, untrained, topk):
        with pytest.raises(ConfigError, match=f"topk must be at least 1, not {topk}"):
            recommender_of(untrained()).recommend([["i3"]], topk)

    def test_an_empty_history(self, untrained):
        with pytest.raises(DataError, match="at least one item"):
            recommender_of(untrained()).recommend([["i3"], []])

    def test_models_that_count_are_refused(self, tiny_settings):
        settings = {key: tiny_settings[key] for key in ("data_path", "checkpoint_dir", "use_gpu")}
        with pytest.raises(DataError, match="models that score all items, but this is a CoVisit"):
            recommender_of(built_run("CoVisit", "tiny", (), settings))


def test_excluded_items_are_never_recommended(untrained):
    recommender = recommender_of(untrained())
    (whole,) = recommender.recommend([["i3", "i4"]], topk=40)
    first = [item.token for item in whole[:3]]
    (rest,) = recommender.recommend([["i3", "i4"]], topk=40, exclude=[*first, "unknown"])
    assert rest == whole[3:]


def test_among_limits_what_is_recommended(untrained):
    recommender = recommender_of(untrained())
    (whole,) = recommender.recommend([["i3", "i4"]], topk=40)
    few = [item.token for item in whole[::5]]
    (found,) = recommender.recommend([["i3", "i4"]], topk=40, among=["i3", *few[::-1], "unknown"])
    # An item of the history stays out.
    assert found == whole[::5]
    assert recommender.recommend([["i3"], ["i4"]], among=[]) == [[], []]
    assert recommender.recommend([["i3"]], among=few, exclude=few) == [[]]
    with pytest.raises(DataError, match="unknown item 'unknown'"):
        recommender.recommend([["i3"]], among=["unknown"])


def test_many_histories_are_read_a_part_at_a_time(untrained, monkeypatch):
    recommender = recommender_of(untrained())
    histories = [[f"i{number % 30}", f"i{number % 7}"] for number in range(50)]
    whole = recommender.recommend(histories, topk=3)
    monkeypatch.setattr("recbole_mpo.release.recommend.MOST_HISTORIES", 8)
    parts = recommender.recommend(histories, topk=3)
    assert [[item.token for item in one] for one in parts] == [[item.token for item in one] for one in whole]


EXPLAINED = {
    "text": ({}, {"text"}),
    "evidence": ({"evidence": ["covisit", "words", "two_hop"]}, {"text", "covisit", "words", "two_hop", "repeats"}),
    "ids in scores": ({"item_input": "text+id", "evidence": ["words"]}, {"text", "ids", "words", "repeats"}),
    "ids in vectors": ({"item_input": "text+id", "id_side": "both"}, {"text", "ids"}),
    "ids": ({"item_input": "id", "evidence": ["covisit"]}, {"ids", "covisit", "repeats"}),
    "inner products": ({"model": "SASRecCE", "item_input": "text+id"}, {"text", "ids"}),
    "a head": ({"model": "PeterRec", "item_input": "text"}, {"text", "ids"}),
}


class TestExplain:
    @pytest.fixture(params=EXPLAINED)
    def explained(self, request, tiny_settings):
        changes, names = EXPLAINED[request.param]
        unused = {"PeterRec": ("n_exps", "inner_size")}.get(changes.get("model"), ())
        settings = {key: value for key, value in tiny_settings.items() if key not in unused}
        return moved_recommender(settings, **changes), names

    def test_parts_sum_to_the_score(self, explained):
        recommender, names = explained
        history = ["i3", "i4", "i9", "i3"]
        (found,) = recommender.recommend([history], topk=40)
        parts = recommender.explain(history, [item.token for item in found])
        assert all(set(one) == names for one in parts)
        assert [sum(one.values()) for one in parts] == pytest.approx([item.score for item in found], abs=1e-4)

    def test_items_of_the_history_are_explained_too(self, explained):
        recommender, names = explained
        rows = torch.tensor([[recommender.row_of[token] for token in ("i3", "i4")]])
        with torch.no_grad():
            scores = recommender.scores(rows, torch.tensor([2]))[0]
        for token, parts in zip(("i3", "i7"), recommender.explain(["i3", "i4"], ["i3", "i7"]), strict=True):
            assert sum(parts.values()) == pytest.approx(scores[recommender.row_of[token]].item(), abs=1e-4)
            assert "repeats" not in names or (parts["repeats"] != 0) == (token == "i3")

    def test_the_part_of_ids_is_what_ids_change(self, tiny_settings):
        """Without them an item has the score of the text's part, where both stand in the scores alone."""
        recommender = moved_recommender(tiny_settings, item_input="text+id")
        (parts,) = recommender.explain(["i3"], ["i7"])
        ids = recommender.model.item_ids
        with torch.no_grad():
            ids.table.zero_()
            ids.bias.zero_()
        without = recommender.model.encode_items()
        rows = torch.tensor([[recommender.row_of["i3"]]])
        with torch.no_grad():
            states = recommender.model.encode_sequences(without, rows, torch.tensor([1]))
            score = recommender.model.score(states, without)[0, recommender.row_of["i7"]].item()
        assert parts["text"] == pytest.approx(score, abs=1e-4) and abs(parts["ids"]) > 1e-3

    def test_mistakes_are_told(self, tiny_settings):
        recommender = moved_recommender(tiny_settings)
        assert recommender.explain(["i3"], []) == []
        for history, tokens in ((["i3"], ["x"]), (["x"], ["i3"]), ([], ["i3"])):
            with pytest.raises(DataError, match="unknown item 'x'|at least one item"):
                recommender.explain(history, tokens)


class TestCommand:
    @pytest.fixture(autouse=True)
    def keep_process(self, monkeypatch):
        monkeypatch.setattr("recbole_mpo.cli.main.prepare_process", lambda: None)

    @pytest.fixture
    def checkpoint(self, tiny_settings):
        """The best checkpoint of a short run on items with awkward tokens."""
        names = {"i1": "007", "i2": "1e3", "i3": "true", "i4": "5-star", "i5": "a, b"}
        folder = f"{tiny_settings['data_path']}/tiny"
        for name in ("tiny.inter", "tiny.text"):
            with open(f"{folder}/{name}", encoding="utf-8") as file:
                lines = [line.split("\t") for line in file.read().splitlines()]
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.writelines("\t".join(names.get(cell, cell) for cell in line) + "\n" for line in lines)
        record = run("MPORec", "tiny", (), {**tiny_settings, "epochs": 1})
        return f"{tiny_settings['checkpoint_dir']}/{record['run_id']}/best.pth"

    @staticmethod
    def recommended(output):
        lines = output.split("recommended:\n")[1].splitlines()
        return [line.split()[1] for line in lines], [float(line.split()[0]) for line in lines]

    def test_tokens_stay_text_and_the_list_has_topk_lines(self, checkpoint, capsys):
        arguments = ["recommend", f"--checkpoint={checkpoint}", "--items=007, 1e3,true,5-star", "--topk=4"]
        assert main(arguments) == 0
        output = capsys.readouterr().out
        tokens, scores = self.recommended(output)
        assert len(tokens) == 4 and not {"007", "1e3", "true", "5-star"} & set(tokens)
        assert scores == sorted(scores, reverse=True) and "after 4 items" in output

    def test_a_file_of_histories_gives_each_its_list(self, checkpoint, capsys, tmp_path):
        (tmp_path / "h.txt").write_text("007\ni7 i8\n", encoding="utf-8")
        assert main(["recommend", f"--checkpoint={checkpoint}", "--histories=h.txt"]) == 0
        output = capsys.readouterr().out
        assert output.count("recommended:") == 2 and "after 1 items" in output and "after 2 items" in output

    def test_ids_with_blanks_and_commas_and_each_form_alone_on_the_output(self, checkpoint, capfd):
        Path("h.jsonl").write_text('["007", "a, b"]\n', encoding="utf-8")
        Path("h.csv").write_text('user_id,item_id\n1,007\n1,"a, b"\n', encoding="utf-8")
        answers = []
        for source in (["--histories=h.jsonl"], ["--histories=h.csv"], ["--item=007", "--item=a, b"]):
            assert main(["recommend", f"--checkpoint={checkpoint}", *source, "--format=json", "--topk=3"]) == 0
            answers.append([json.loads(line) for line in capfd.readouterr().out.splitlines()])
        ((first,), *others) = answers
        assert others == [[first], [first]]
        assert first["user_id"] == "1" and first["items"] == ["007", "a, b"] and len(first["recommended"]) == 3
        arguments = ["recommend", f"--checkpoint={checkpoint}", "--item=007", "--item=a, b"]
        assert main([*arguments, "--format=csv", "--topk=3"]) == 0
        rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
        assert [(row["item_id"], float(row["score"]), row["title"]) for row in rows] == [
            (item["item_id"], item["score"], item["title"]) for item in first["recommended"]
        ]

    @pytest.mark.parametrize("topk", ["0", "-1", "2.5", "abc", "true"])
    def test_topk_must_be_a_positive_whole_number(self, capsys, topk):
        assert main(["recommend", "--checkpoint=x.pth", "--items=a", f"--topk={topk}"]) == 2
        assert "topk must be a positive whole number" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "source", [[], ["--items=a", "--histories=h.txt"], ["--item=a", "--items=b"], ["--item=a", "--histories=h.txt"]]
    )
    def test_needs_one_source_of_histories(self, capsys, source):
        assert main(["recommend", "--checkpoint=x.pth", *source]) == 2
        assert "either --items=token,token or --histories=FILE" in capsys.readouterr().err

    def test_items_given_twice_are_not_dropped_silently(self, capsys):
        assert main(["recommend", "--checkpoint=x.pth", "--items=a", "--items=b"]) == 2
        assert "--items is given twice" in capsys.readouterr().err

    def test_needs_a_checkpoint_that_exists(self, capsys):
        assert main(["recommend", "--items=a"]) == 2
        assert "either --checkpoint=FILE or --model_folder=DIR" in capsys.readouterr().err
        assert main(["recommend", "--items=a", "--checkpoint=no.pth"]) == 2
        assert "checkpoint no.pth does not exist" in capsys.readouterr().err

    def test_an_unknown_token_is_an_error_of_one_line(self, checkpoint, capsys):
        assert main(["recommend", f"--checkpoint={checkpoint}", "--items=7"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: unknown item '7'") and error.count("\n") == 1

    def test_items_with_a_new_text_are_recommended_and_change_no_other_score(self, checkpoint, tiny_path):
        (before,) = Recommender.from_checkpoint(checkpoint).recommend([["i7"]], topk=40)
        with open(tiny_path / "tiny" / "tiny.text", "a", encoding="utf-8") as file:
            file.write("new\tred lamp\n")
        (after,) = Recommender.from_checkpoint(checkpoint).recommend([["i7"]], topk=40)
        assert {item.token for item in after} - {item.token for item in before} == {"new"}
        known = [item for item in after if item.token != "new"]
        assert [item.token for item in known] == [item.token for item in before]
        assert [item.score for item in known] == pytest.approx([item.score for item in before], abs=1e-5)
        (with_history,) = Recommender.from_checkpoint(checkpoint).recommend([["i7", "new"]], topk=40)
        assert len(with_history) == len(before)

    def test_an_edited_text_is_used_with_a_warning(self, checkpoint, tiny_path, caplog):
        text = tiny_path / "tiny" / "tiny.text"
        text.write_text(text.read_text().replace("i9\t", "i9\tpurple lamp "))
        Recommender.from_checkpoint(checkpoint).recommend([["i7"]])
        assert "1 of 30 items ('i9') have other text features" in caplog.text

    def test_a_checkpoint_gives_what_the_experiment_gave(self, checkpoint):
        loaded = Recommender.from_checkpoint(checkpoint)
        experiment = RestoredRun(checkpoint)
        assert experiment.state["model"] == "MPORec"
        (found,) = loaded.recommend([["i7"]], topk=5)
        expected = scores_by_hand(experiment, ["i7"])
        assert np.allclose([item.score for item in found], [expected[item.token] for item in found], atol=1e-4)


def test_a_recommender_of_a_moment_does_not_see_what_is_added_later(untrained):
    recommender = recommender_of(untrained())
    before = recommender.as_of_now()
    first = before.recommend([["i3"]], topk=100)
    recommender.add_items({"late": "red wooden lamp number 3."})
    assert "late" in recommender.row_of and "late" not in before.row_of
    assert before.recommend([["i3"]], topk=100) == first and before.titled("lamp") != recommender.titled("lamp")
    assert recommender.titled("WOODEN lamp number 3.", ["late", "i1"]) == ["late"]


def test_items_that_are_added_one_by_one_score_as_those_added_at_once(untrained):
    texts = {f"new{number}": f"blue lamp of kind {number}" for number in range(5)}
    at_once, one_by_one = recommender_of(untrained()), recommender_of(untrained())
    at_once.add_items(texts)
    addresses = set()
    for token, text in texts.items():
        one_by_one.add_items({token: text})
        addresses.add(one_by_one.scores.item_vectors.data_ptr())
    assert len(addresses) == 1
    histories = [["i3", "new4"], ["new1"]]
    first, second = (
        [[(item.token, item.score) for item in items] for items in recommender.recommend(histories, topk=100)]
        for recommender in (at_once, one_by_one)
    )
    for ours, others in zip(first, second, strict=True):
        assert dict(ours) == pytest.approx(dict(others), abs=1e-5)


@pytest.mark.parametrize("topk_by, package", [("float32", "torch"), ("int8", "numkong"), ("index", "usearch")])
def test_what_finds_the_best_of_fewer_items_is_let_go_when_items_are_added(untrained, topk_by, package):
    pytest.importorskip(package, reason="the extra [index] is not installed")
    one = untrained()
    recommender = Recommender.of(one.experiment, one.model, topk_by=topk_by)
    former = weakref.ref(recommender._now.best.top)
    recommender.add_items({"late": "red wooden lamp number 3."})
    gc.collect()
    assert former() is None and "late" in [item.token for item in recommender.recommend([["i3"]], topk=100)[0]]


@pytest.mark.parametrize("evidence, several", [([], 1024), (["covisit"], 3)])
def test_only_scores_of_all_limit_how_many_histories_are_read_at_once(untrained, monkeypatch, evidence, several):
    monkeypatch.setattr("recbole_mpo.release.candidates.rows_per_batch", lambda most, count: 3)
    assert recommender_of(untrained(evidence=evidence))._now.histories_at_once(1024) == several


def test_a_pre_trained_file_is_refused_before_its_data_are_looked_for(
    tiny_settings, make_dataset, tiny_path, tmp_path, monkeypatch
):
    LetterEncoder.replace_all(monkeypatch)
    make_dataset(tiny_path, "other", users=50, items=40, seed=1)
    pretrain("UniSRec", ["tiny", "other"], tmp_path / "weights.pth", (), tiny_settings)
    nowhere = {"data_path": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match="was pre-trained on several datasets .tiny"):
        Recommender.from_checkpoint(tmp_path / "weights.pth", nowhere)


class TestIndexFile:
    """An index that is kept: built once, refused for other items, and left when items are added."""

    def test_it_is_built_once_and_read_then(self, untrained, tmp_path, monkeypatch):
        pytest.importorskip("usearch", reason="the extra [index] is not installed")
        one, path = untrained(), tmp_path / "items.index"
        parts = parts_of_experiment(one.experiment, one.model, None)
        first = Recommender(*parts, topk_by="index", index_file=path)
        changed = path.stat().st_mtime_ns
        second = Recommender(*parts, topk_by="index", index_file=path)
        assert path.stat().st_mtime_ns == changed
        assert second.recommend([["i3"]], topk=5) == first.recommend([["i3"]], topk=5)
        assert first.index_recall() == 1.0 and Recommender(*parts).index_recall() is None
        second.add_items({"late": "red wooden lamp number 3."})
        assert path.stat().st_mtime_ns == changed
        assert "late" in [item.token for item in second.recommend([["i3"]], topk=100)[0]]
        other = untrained(seed=99)
        with pytest.raises(DataError, match="was built from other item vectors; delete it"):
            Recommender.of(other.experiment, other.model, topk_by="index", index_file=path)

    def test_a_kind_without_a_file_refuses_one(self, untrained, tmp_path):
        one = untrained()
        with pytest.raises(ConfigError, match="topk_by float32 has no file"):
            Recommender.of(one.experiment, one.model, index_file=tmp_path / "items.index")
