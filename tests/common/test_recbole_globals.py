"""RecBole's grip on the process: autograd's anomaly detection, the root logger, numpy's names and warnings."""

import logging
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

from recbole_mpo.common.recbole_globals import (
    NUMPY_NAMES,
    logging_to,
    restore_numpy_names,
    sequential_models,
    without_future_warnings,
)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_importing_its_models_leaves_anomaly_detection_as_it_was(is_enabled):
    code = f"""if True:
        import torch
        from recbole_mpo.common.recbole_globals import sequential_models
        torch.autograd.set_detect_anomaly({is_enabled}, False)
        assert sequential_models().SASRec.__name__ == "SASRec"
        print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(is_enabled), "False"]


def test_its_models_are_one_module():
    assert sequential_models() is sequential_models()
    assert sequential_models().__name__ == "recbole.model.sequential_recommender"


@pytest.fixture
def root():
    """The root logger, which comes back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers, root.level = handlers, level


def test_two_runs_log_into_a_file_each(root, tmp_path, capsys):
    handlers, level = root.handlers[:], root.level
    for name in ("first", "second"):
        with logging_to(tmp_path / f"{name}.log"):
            logging.getLogger("recbole_mpo.data").info("about %s", name)
            logging.getLogger("recbole_mpo.data").debug("details")
    for name, other in (("first", "second"), ("second", "first")):
        text = (tmp_path / f"{name}.log").read_text(encoding="utf-8")
        assert text.endswith(f"INFO about {name}\n") and other not in text and "details" not in text
    assert capsys.readouterr().out == "about first\nabout second\n"
    assert (root.handlers, root.level) == (handlers, level)


def test_talkative_libraries_are_heard_from_warnings_on(root, tmp_path, capsys):
    with logging_to(tmp_path / "a.log"):
        for name in ("recbole_mpo.data", "a_users_own", "sentence_transformers.models"):
            logging.getLogger(name).info("%s informs", name)
            logging.getLogger(name).warning("%s warns", name)
        logging.info("RecBole logs like this")
    lines = (tmp_path / "a.log").read_text(encoding="utf-8").splitlines()
    expected = [
        "recbole_mpo.data informs",
        "recbole_mpo.data warns",
        "a_users_own informs",
        "a_users_own warns",
        "sentence_transformers.models warns",
        "RecBole logs like this",
    ]
    assert capsys.readouterr().out.splitlines() == expected
    assert len(lines) == len(expected) and all(map(str.endswith, lines, expected))


def test_an_error_puts_back_what_was_set(root, tmp_path):
    handlers = root.handlers[:]
    with pytest.raises(RuntimeError), logging_to(tmp_path / "a.log"):
        raise RuntimeError
    assert root.handlers == handlers


@pytest.mark.parametrize(("level", "messages"), [("debug", 2), ("INFO", 1), ("nonsense", 1), ("error", 0)])
def test_levels_are_named_in_any_capitals(root, tmp_path, level, messages):
    with logging_to(tmp_path / "a.log", level):
        logging.getLogger("a").debug("debug")
        logging.getLogger("a").info("info")
    assert len((tmp_path / "a.log").read_text(encoding="utf-8").splitlines()) == messages


def test_colours_stay_out_of_the_file(root, tmp_path):
    with logging_to(tmp_path / "a.log"):
        logging.getLogger("a").info("\x1b[1;35mvalid\x1b[0m")
    assert "\x1b" not in (tmp_path / "a.log").read_text(encoding="utf-8")


def test_control_characters_of_the_data_reach_neither_screen_nor_file(root, tmp_path, capsys):
    with logging_to(tmp_path / "a.log"):
        logging.getLogger("a").info("first\nsecond %s", "\x1b]0;title\x07\ud83d")
    out = capsys.readouterr().out
    assert out == "first\nsecond \\x1b]0;title\\x07\\ud83d\n"
    assert (tmp_path / "a.log").read_text(encoding="utf-8").endswith(out)


LOGS = """
import logging, pathlib, sys
from recbole_mpo.common.recbole_globals import logging_to
with logging_to(pathlib.Path("a.log")):
    for number in range(3):
        logging.warning("line %d", number)
print("done", file=sys.stderr)
"""


def test_a_run_goes_on_where_nobody_reads_its_output(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", LOGS], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "done\n")
    assert (tmp_path / "a.log").read_text().count("line ") == 3


def test_its_warnings_about_later_versions_are_left_out_and_others_kept():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for at_work in (without_future_warnings(), nullcontext()):
            with at_work:
                warnings.warn_explicit("about pandas 3", FutureWarning, "a.py", 1, module="recbole.data.interaction")
                warnings.warn_explicit("about torch", FutureWarning, "b.py", 1, module="other")
    assert [str(warning.message) for warning in caught] == ["about torch", "about pandas 3", "about torch"]


def test_numpys_former_names_are_there_again_and_those_it_has_stay(monkeypatch):
    for name in NUMPY_NAMES:
        monkeypatch.delitem(np.__dict__, name, raising=False)
    monkeypatch.setitem(np.__dict__, "long", np.longlong)
    restore_numpy_names()
    assert all(name in np.__dict__ for name in NUMPY_NAMES) and np.long is np.longlong
    assert np.zeros(1, dtype=np.float).dtype == np.float64 and np.ones(1, dtype=np.bool).dtype == bool
