"""Studies whose runs are trained in this process, in a second each, and studies of planted records."""

import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from planted_study import content_of, write_study

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling import grid_runs, metric_fits, prediction
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.steps import Study
from recbole_mpo.study.scaling.uncertainty import bootstrap

DRAWS = 50


@pytest.fixture
def small(tiny_settings, make_dataset):
    """The content of a plan of four runs on ``tiny`` and fine-tuning on ``other``."""
    make_dataset(Path(tiny_settings["data_path"]), "other", seed=1)
    shared = {
        key: value for key, value in tiny_settings.items() if key not in ("seed", "checkpoint_dir", "hidden_size")
    }
    del shared["inner_size"]
    recipe = {"epochs": 1, "eval_loss": True, "count_flops": True, "track": []}
    recipe |= {key: shared[key] for key in ("data_path", "cache_dir", "use_gpu", "train_batch_size")}
    return {
        "dataset": "tiny",
        "seeds": [7],
        **shared,
        **{"eval_users": 0.5, "eval_loss": True, "count_flops": True, "track": [], "inner_per_width": 1},
        "grid": {"size": {"train_users": [0.25, 0.5], "hidden_size": [8, 16]}},
        "transfer": {"dataset": "other", "from": [{"train_users": 0.5, "hidden_size": 8}], "settings": recipe},
    }


@pytest.fixture
def started(monkeypatch):
    """Trains runs in this process; lists what was started."""
    titles = []

    def start(cell, folder, threads=None, resume=None):
        titles.append(cell.title)
        own = {"checkpoint_dir": str(folder / RUNS), "run_label": cell.row.name, "show_progress": False}
        code, says = 0, ""
        try:
            run(cell.row.model, cell.dataset, (), {**cell.settings, **own})
        except RecboleMPOError as problem:
            code, says = 1, str(problem)
        process = SimpleNamespace(returncode=code)
        return SimpleNamespace(
            cell=cell,
            process=process,
            log=folder / "log",
            has_ended=True,
            seconds=1.0,
            last_line=lambda pattern="": says,
            end=lambda: None,
            wait=lambda: None,
        )

    monkeypatch.setattr(grid_runs.RunProcess, "start", start)
    monkeypatch.setattr(grid_runs, "LOOK_SECONDS", 0.01)
    return titles


@pytest.fixture(scope="session", autouse=True)
def few_draws():
    """Has whole studies draw less often, which is quick; tests of intervals themselves draw as often as they say."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (metric_fits, prediction):
            patch.setattr(module, "bootstrap", partial(bootstrap, draws=DRAWS))
        yield


@pytest.fixture(scope="session")
def planted_once(tmp_path_factory, few_draws):
    """The folder of that study, which no test changes."""
    study = Study(Plan.read(content_of()), tmp_path_factory.mktemp("planted") / "study")
    write_study(study.made, study.output, wanted=lambda cell: cell.is_released(set()))
    study.fit()
    # After the prediction.
    later = datetime.now(UTC).isoformat()
    write_study(study.made, study.output, wanted=lambda cell: not cell.is_released(set()), started=later)
    study.fit()
    return study


@pytest.fixture
def planted(planted_once, tmp_path):
    """The study of scaling_cpu.yaml with planted records of all its runs, fitted and predicted in order."""
    shutil.copytree(planted_once.output, tmp_path / "study")
    return Study(planted_once.made, tmp_path / "study")
