"""The head of a report: protocol, features, versions and hashes, and what differs between runs."""

import pytest
from report_runs import make_groups, make_record, make_run, random_ranks

from recbole_mpo.study.report_header import header_table
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.run_groups import RunGroup


def facts(groups):
    table = header_table(Results.of(groups, 0, ["hit@10", "ndcg@10"], False))
    assert set(table.words) == set(table.columns)
    return {name.text: value.text for name, value in table.rows}


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return facts(make_groups(tmp_path_factory.mktemp("runs")))


def test_data_and_protocol(head):
    expected = {
        "dataset": "tiny: 120 users, 30 items",
        "split": "leave one out, by time: each user's last item is of test, the one before of valid",
        "targets": "120 of valid, 120 of test",
        "candidates": "all 30 items, the same for every model",
        "history": "kept: items of the history are candidates too",
        "longest history": "the newest 50 items",
        "metrics": "hit@10, ndcg@10; runs and epochs chosen by valid NDCG@10",
        "sha256 of tiny.inter": "aa",
        "sha256 of tiny.text": "bb",
        "sha256 of test pairs (user, target)": "dd",
    }
    assert {name: head[name] for name in expected} == expected
    assert "scored equal" in head["ties"] and "sha256 of pre-trained weights" not in head


def test_circumstances(head):
    assert head["versions"] == "torch 2.13.0+cpu, numpy 2.4.6"
    assert head["commit"] == "5a441be4c72d" and head["device"] == "AMD EPYC, threads: 2, Python 3.11.7"
    assert head["processes"] == "1" and head["run"] == "2026-11-26"


def test_features_name_their_groups_where_they_differ(head, tmp_path):
    minilm = "minilm, 384 values per item (sha256 c0ffeec0ffee…)"
    assert head["item features"] == f"{minilm}: UniSRec, MPORec; none: Pop"
    one = RunGroup("a", (make_run(tmp_path / "a", random_ranks(1)),))
    assert facts([one])["item features"] == minilm


def test_what_differs_is_shown_with_its_number_of_runs(tmp_path):
    changes = [
        {"packages": {"torch": "2.12.0"}, "processes": 2, "git": {"commit": "f" * 40, "dirty": True}, "device": {}},
        {"seed": 2, "started": "2026-11-24T01:00:00+00:00", "data__files": {"tiny.inter": "aa", "tiny.text": "cc"}},
        {"seed": 3, "git": {"commit": None, "dirty": None}, "pretrained": {"file": "p.pth", "sha256": "ee"}},
    ]
    runs = [make_run(tmp_path / str(place), random_ranks(place), **more) for place, more in enumerate(changes)]
    head = facts([RunGroup("a", tuple(runs))])
    assert head["versions"] == "torch 2.12.0 (1 run) or 2.13.0+cpu (2 runs), numpy 2.4.6"
    assert head["processes"] == "2 (1 run) or 1 (2 runs)"
    assert head["commit"] == f"{'f' * 12} with changes (1 run) or 5a441be4c72d (1 run) or unknown (1 run)"
    assert head["run"] == "2026-11-24 to 2026-11-26" and head["sha256 of pre-trained weights"] == "ee"
    assert head["sha256 of tiny.text"] == "bb (2 runs) or cc (1 run)"


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        (
            {"data__files": {f"S.{part}.inter": "a" for part in ("train", "valid", "test")}},
            "split",
            "own files (train,",
        ),
        ({"config__eval_args": {"split": {"RS": [8, 1, 1]}}}, "split", "split {'RS': [8, 1, 1]}, order None"),
        ({"config__eval_args": None}, "split", "split None"),
        ({"config__eval_history": "masked"}, "history", "masked: items of the history are no candidates"),
    ],
)
def test_other_protocols(tmp_path, changes, name, text):
    assert text in facts([RunGroup("a", (make_run(tmp_path, random_ranks(1), **changes),))])[name]


@pytest.mark.parametrize("odd", [None, 3, "text", [], {}])
def test_odd_values_of_a_record_are_no_error(tmp_path, odd):
    changes = {name: odd for name in ("features", "packages", "device", "git", "started", "processes", "pretrained")}
    record, path = make_run(tmp_path, random_ranks(1))
    head = facts([RunGroup("a", (({**record, **changes}, path),))])
    assert head["commit"] == "unknown"


def test_without_any_data_the_head_has_circumstances_alone(tmp_path):
    failed = RunGroup("a", ((make_record(status="failed", data={}), tmp_path / "record.json"),))
    head = facts([failed])
    assert "dataset" not in head and head["versions"] == "torch 2.13.0+cpu, numpy 2.4.6"
