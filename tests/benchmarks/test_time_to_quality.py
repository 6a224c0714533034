"""Seconds to a quality: both sides' curves, ranks by the same code, and what is kept of a finished side."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_mpo.quick_start.experiment import Experiment

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PEER = FOLDER / "peers" / ".venv" / "bin" / "python"
# Speaks as peers/rectools_quality.py does. After two epochs it expects after an item what last followed it in training.
FAKE_PEER = """
import json, sys, numpy as np
options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
folder = options["inputs"]
train, valid = np.load(f"{folder}/histories.npz"), np.load(f"{folder}/valid.npz")
count = len(np.load(f"{folder}/features.npy"))
follower = np.zeros(count, dtype=int)
for start, length in zip(train["starts"], train["lengths"]):
    follower[train["values"][start : start + length - 1]] = train["values"][start + 1 : start + length]
last = train["values"][valid["starts"] + valid["lengths"] - 1]
print(json.dumps({"config": json.loads(options["settings"]), "versions": {}}), flush=True)
for epoch in range(1, 4):
    queries = np.eye(count, dtype=np.float32)[follower[last] if epoch == 2 else np.zeros_like(last)]
    np.savez(f"{folder}/vectors.npz", queries=queries, items=np.eye(count, dtype=np.float32))
    line = {"train_seconds": 10.0 * epoch, "cpu_seconds": 15.0 * epoch, "vectors": f"{folder}/vectors.npz"}
    print(json.dumps(line), flush=True)
    if sys.stdin.readline() != "go on\\n":
        break
"""
UNREACHABLE, ENDLESS = 2.0, 1e9


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark, imported as running it would."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for path in FOLDER.glob("*.py"):
        # A test may have imported a module of the same name.
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return importlib.import_module("time_to_quality")


@pytest.fixture
def fake_peer(tmp_path):
    script = tmp_path / "fake_peer.py"
    script.write_text(FAKE_PEER, encoding="utf-8")
    return Path(sys.executable), script


@pytest.fixture
def experiment(benchmark, tiny_settings):
    return Experiment.of("MPORec", "tiny", (), {**tiny_settings, **benchmark.MEASURED})


def ndcg_of_followers(experiment) -> float:
    """Return by hand the valid NDCG@10 where what last followed an item scores 1 and all others 0.

    A target is first, or the last of the more than ten that score the same.
    """
    train, valid = experiment.data.splits[:2]
    histories = {}
    for user, end in sorted(zip(train.rows().users.tolist(), train.rows().ends.tolist(), strict=True)):
        histories.setdefault(user, [train.flat_items[end - 1]]).append(train.flat_items[end])
    follower = {item: after for items in histories.values() for item, after in zip(items, items[1:], strict=False)}
    ends = valid.rows().ends
    return float(np.mean([follower.get(valid.flat_items[end - 1]) == valid.flat_items[end] for end in ends]))


def test_our_side_follows_the_trainer(benchmark, tiny_settings):
    """The whole recipe, then until a quality and until a limit; the same epochs each time."""
    whole = benchmark.train_ours("MPORec", "tiny", tiny_settings, UNREACHABLE, ENDLESS)
    assert whole["ended_by"] == "recipe" and whole["reached"] is None
    assert [epoch["epoch"] for epoch in whole["curve"]] == [0, 1]
    assert whole["best"]["ndcg@10"] == max(epoch["ndcg@10"] for epoch in whole["curve"])
    assert all(0 < epoch["train_seconds"] < epoch["wall_seconds"] for epoch in whole["curve"])
    first = whole["curve"][0]["ndcg@10"]
    reached = benchmark.train_ours("MPORec", "tiny", tiny_settings, first, ENDLESS)
    assert reached["ended_by"] == "quality" and reached["curve"] == [reached["reached"]]
    assert reached["reached"]["ndcg@10"] == first
    limited = benchmark.train_ours("MPORec", "tiny", tiny_settings, UNREACHABLE, 1e-9)
    assert limited["ended_by"] == "limit" and len(limited["curve"]) == 1


def test_our_figure_is_the_one_of_the_vectors_handed_over(benchmark, tiny_settings, tmp_path):
    """Both sides' NDCG is the same for the same vectors: the last history item's, in cosines."""
    built = benchmark.Built("MPORec", "tiny", {**tiny_settings, **benchmark.MEASURED})
    model, experiment = built.model.eval(), built.experiment
    loader = experiment.data.loaders[1]
    items = model.encode_items()
    queries = [model.queries(model.encode_histories(items, interaction)) for interaction, *_ in loader]
    handed = (np.concatenate([part.detach().numpy() for part in queries]), model.candidates(items).detach().numpy())
    expected = built.trainer(tmp_path).evaluate(loader, load_best_model=False)["ndcg@10"]
    assert benchmark.valid_ndcg(experiment, *handed) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(SystemExit, match="handed over"):
        benchmark.valid_ndcg(experiment, handed[0][1:], handed[1])


def test_a_peer_is_ranked_here_and_told_to_stop(benchmark, experiment, fake_peer, tmp_path):
    benchmark.peer_inputs(experiment, str(tmp_path))
    quality = ndcg_of_followers(experiment)
    assert quality > 0
    found = benchmark.train_peer(experiment, str(tmp_path), {"lr": 0.1}, quality, ENDLESS, command=fake_peer)
    assert found["config"] == {"lr": 0.1}
    assert found["ended_by"] == "quality" and [epoch["ndcg@10"] for epoch in found["curve"]] == [0.0, quality]
    assert found["reached"]["train_seconds"] == 20.0
    limited = benchmark.train_peer(experiment, str(tmp_path), {}, UNREACHABLE, 15.0, command=fake_peer)
    assert limited["ended_by"] == "limit" and limited["best"]["train_seconds"] == 20.0
    by_itself = benchmark.train_peer(experiment, str(tmp_path), {}, UNREACHABLE, ENDLESS, command=fake_peer)
    assert by_itself["ended_by"] == "recipe" and len(by_itself["curve"]) == 3


def test_a_peer_that_fails_is_named(benchmark, experiment, tmp_path):
    command = (sys.executable, "-c", "raise SystemExit(3)")
    with pytest.raises(SystemExit, match="exit code 3"):
        benchmark.train_peer(experiment, str(tmp_path), {}, 1.0, 1.0, command=command)


def test_a_peer_gets_the_training_and_validation_rows(benchmark, experiment, tmp_path):
    """Its targets are not among them; other rows or features have another hash."""
    before = benchmark.peer_inputs(experiment, str(tmp_path))
    train, valid = (np.load(tmp_path / name) for name in ("histories.npz", "valid.npz"))
    splits = experiment.data.splits
    assert (train["lengths"] - 1).sum() == len(splits[0])
    ends = valid["starts"] + valid["lengths"]
    assert len(ends) == len(splits[1]) and np.array_equal(ends, splits[1].rows().ends)
    assert np.array_equal(np.load(tmp_path / "features.npy"), splits[0].item_features().numpy())
    assert benchmark.peer_inputs(experiment, str(tmp_path)) == before
    splits[0].inter_feat = splits[0].inter_feat[np.arange(10)]
    assert benchmark.peer_inputs(experiment, str(tmp_path)) != before


def test_finished_sides_are_kept(benchmark, tiny_settings, fake_peer, tmp_path, monkeypatch, capsys):
    """Only what is asked for is measured again, and another question is not answered by an old side."""
    monkeypatch.setattr(benchmark, "PEER", fake_peer)
    monkeypatch.setattr(benchmark, "train_peer", benchmark.partial(benchmark.train_peer, command=fake_peer))
    measured = []
    monkeypatch.setattr(benchmark, "alone", lambda train, *rest: measured.append("ours") or train(*rest))
    asked = {"dataset": "tiny", "quality": UNREACHABLE, "folder": str(tmp_path / "sides"), **tiny_settings}
    first = benchmark.measure(**asked, peer_lr=0.1)
    assert first["seconds_to_quality"] == {"ours": None, "rectools": None} and first["rectools_over_ours"] is None
    assert first["sides"]["rectools"]["config"] == {"lr": 0.1}
    assert benchmark.measure(**asked, peer_lr=0.1) == first
    assert measured == ["ours"]
    assert benchmark.measure(**asked, only="ours").keys() == first.keys()
    assert measured == ["ours", "ours"]
    with pytest.raises(SystemExit, match=r"rectools.json holds another measurement \(other settings\)"):
        benchmark.measure(**asked, peer_lr=0.2)
    with pytest.raises(SystemExit, match="ours.json holds another measurement .other quality"):
        benchmark.measure(**{**asked, "quality": 0.5}, peer_lr=0.1)
    with pytest.raises(SystemExit, match="topk cannot be set here"):
        benchmark.measure(**asked, topk=[5])
    with pytest.raises(SystemExit, match="ours or rectools"):
        benchmark.measure(**asked, only="peer")
    monkeypatch.setattr(benchmark, "PEER", (tmp_path / "none", fake_peer[1]))
    with pytest.raises(SystemExit, match="--only=ours"):
        benchmark.measure(**asked)


def test_ratio_of_the_two_sides(benchmark):
    def side(seconds, reached):
        epoch = {"train_seconds": seconds}
        return {"reached": epoch if reached else None, "curve": [epoch]}

    both = benchmark.summary({"ours": side(10.0, True), "rectools": side(80.0, True)})
    assert both["rectools_over_ours"] == 8.0 and both["is_lower_bound"] is False
    missed = benchmark.summary({"ours": side(10.0, True), "rectools": side(3600.0, False)})
    assert missed["rectools_over_ours"] == 360.0 and missed["is_lower_bound"] is True
    assert missed["seconds_to_quality"] == {"ours": 10.0, "rectools": None}
    for sides in ({"ours": side(10.0, True)}, {"ours": side(9.0, False), "rectools": side(80.0, True)}):
        assert benchmark.summary(sides)["rectools_over_ours"] is None


def test_the_runner_reports_the_seconds_or_the_best(benchmark, tmp_path, monkeypatch):
    run = importlib.import_module("run")
    slow = {"epoch": 40, "train_seconds": 3610.0, "wall_seconds": 3700.0, "ndcg@10": 0.05}
    fast = {"epoch": 20, "train_seconds": 240.2, "wall_seconds": 260.0, "ndcg@10": 0.0701}
    sides = {
        "ours": {"reached": fast, "best": fast, "curve": [fast]},
        "rectools": {"reached": None, "best": {**slow, "train_seconds": 3000.4, "ndcg@10": 0.0612}, "curve": [slow]},
    }
    result = {"model": "MPORec", "dataset": "Scientific", "quality": 0.07, **benchmark.summary(sides), "sides": sides}
    keys = run.keyed({"time_to_quality": result})
    assert keys == {"seconds_to_quality": {"ours": 240.2, "rectools": None}}
    what = "seconds of training to valid NDCG@10 0.070 on Scientific"
    assert run.table({"time_to_quality": result}) == [
        (f"{what}: MPORec", "", "240 (with validation 260)"),
        (f"{what}: RecTools' UniSRec", "", "not in 3,610; best 0.0612 after 3,000"),
        ("the same, RecTools' over ours", "", "at least 15.0"),
    ]
    monkeypatch.setattr(run, "why_not", lambda name: "a test")
    run.main([f"--folder={tmp_path}"])
    names = json.loads((tmp_path / "results.json").read_text())["benchmarks"].keys()
    assert names == set(run.BENCHMARKS) - {"time_to_quality"}
    run.main([f"--folder={tmp_path}", "--only=time_to_quality"])
    assert json.loads((tmp_path / "results.json").read_text())["benchmarks"].keys() == set(run.BENCHMARKS)


@pytest.mark.skipif(not PEER.is_file(), reason="no environment benchmarks/peers/.venv (benchmarks/peers/README.md)")
def test_rectools_trains_and_hands_over(benchmark, experiment, tmp_path):
    benchmark.peer_inputs(experiment, str(tmp_path))
    settings = {"n_factors": 16, "projection_hidden": 16, "epochs": 3, "batch_size": 16}
    found = benchmark.train_peer(experiment, str(tmp_path), settings, UNREACHABLE, ENDLESS)
    assert len(found["curve"]) == 3 and found["ended_by"] == "recipe"
    assert found["config"]["batch_size"] == 16 and found["config"]["lr"] == 1e-4
    assert json.dumps(found)
