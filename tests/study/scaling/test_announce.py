"""What a plan has to do, with sizes that are those of the records."""

import re

from recbole_mpo.common.progress import duration
from recbole_mpo.study.scaling.announce import START_SECONDS
from recbole_mpo.study.scaling.grid_runs import GridRuns
from recbole_mpo.study.scaling.steps import Study


def rows_of(out):
    return {line[:50].strip(): line for line in out.splitlines() if "seed 7" in line}


def test_sizes_are_about_those_of_the_records_and_done_runs_tell_the_rate(small, started, tmp_path, capsys):
    small |= {"predict": {"train_users": 0.5, "hidden_size": 16}, "feature_size": None}
    study = Study.of(small, tmp_path / "out")
    study.plan()
    out = capsys.readouterr().out
    assert "about " in rows_of(out)["UniSRec, 50 % of users, 16 wide, 2 deep, tiny, see"]
    assert out.count("to do") >= 5 and out.count("predicted first") == 1 and "6 runs, 6 to do" in out
    assert "at 50 billion operations a second" in out and duration(START_SECONDS) in out
    GridRuns(study.made.cells[1:2], study.output).finish()
    capsys.readouterr()
    study.plan()
    out = capsys.readouterr().out
    assert "6 runs, 5 to do" in out and "at the rate of the runs that are done" in out
    assert re.search(r"25 % of users, 16 wide, 2 deep, tiny, seed 7 +done", out)
