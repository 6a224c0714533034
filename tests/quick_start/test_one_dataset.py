"""One prepared dataset as the data of a run."""

import pytest
from support import built_run

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.one_dataset import OneDataset


def test_the_files_are_those_that_decide_the_figures(tiny_settings, tiny_path):
    experiment = Experiment.of("UniSRec", "tiny", (), tiny_settings)
    assert isinstance(experiment.source, OneDataset)
    folder = tiny_path / "tiny"
    (folder / "README.md").write_text("of no consequence")
    names = {"tiny.inter", "tiny.text"}
    assert experiment.file_hashes() == {name: file_hash(folder / name) for name in names}
    assert experiment.source.files(experiment.config) == {name: folder / name for name in names}


@pytest.mark.parametrize(
    ("model", "changes", "kind"),
    [
        ("UniSRec", {}, PackedLoader),
        ("CCDR", {}, PackedLoader),
        ("BERT4RecFair", {}, HistoryLoader),
        ("UniSRec", {"train_mode": "pairwise"}, None),
    ],
)
def test_the_loader_is_the_one_that_the_model_trains_on(tiny_settings, model, changes, kind):
    keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "hidden_size", "train_batch_size")
    settings = tiny_settings if model == "UniSRec" else {key: tiny_settings[key] for key in keys}
    loader = built_run(model, "tiny", (), {**settings, **changes}).loaders[0]
    assert type(loader) is kind if kind else not isinstance(loader, PackedLoader)


def test_an_absent_dataset_is_told_before_anything_is_read(tiny_settings):
    with pytest.raises(DataError, match="dataset 'nowhere' not found"):
        Experiment.of("UniSRec", "nowhere", (), tiny_settings)
