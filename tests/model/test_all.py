"""What every model of the package has in common."""

import numpy as np
import pytest
from support import built_run

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.quick_start.registry import OWN_MODELS, find_model

KEYS = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "seed")
NAMES = pytest.mark.parametrize("name", [*OWN_MODELS, "S3Rec", "BERT4Rec", "SASRec", "GRU4Rec"])


@pytest.fixture
def settings(tiny_settings):
    """Small ones, and a text encoder for those that read text or group items by it."""

    def make(name):
        kept = {key: tiny_settings[key] for key in KEYS}
        model_class = find_model(name).model_class
        reads_text = model_class.item_inputs not in ((), ("id",)) or "text" in model_class.reads
        # CountText reads the words themselves.
        kept |= {"text_encoder": tiny_settings["text_encoder"]} if reads_text and name != "CountText" else {}
        return {**kept, **({"ccdr_clusters": 4} if name == "CCDR" else {})}

    return make


@NAMES
def test_a_dry_run_prints_the_parameters_by_group(settings, capsys, name):
    params = run(name, "tiny", (), settings(name), dry_run=True)["params"]
    model = built_run(name, "tiny", (), settings(name)).model
    sizes = {parameter: value.numel() for parameter, value in model.named_parameters()}
    table = model.n_items * model.feature_size
    assert params["total"] == sum(sizes.values()) + table
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert params["trainable"] == sum(sizes[name] for name in trained)
    assert f"{params['total']:,}" in capsys.readouterr().out.split("parameters:")[1]


@NAMES
def test_all_rank_the_same_candidates_for_the_same_targets(settings, name):
    experiment = built_run(name, "tiny", (), settings(name))
    parts = [experiment.splits[number] for number in (1, 2)]
    found = []
    for part in parts:
        columns = (part.inter_feat[field].numpy() for field in (part.uid_field, part.iid_field))
        found.append(sorted(zip(*(column.tolist() for column in columns), strict=True)))
    reference = built_run("SASRecCE", "tiny", (), settings("SASRecCE"))
    expected = [
        sorted(zip(part.inter_feat["user_id"].tolist(), part.inter_feat["item_id"].tolist(), strict=True))
        for part in reference.splits[1:]
    ]
    assert experiment.dataset.item_num == reference.dataset.item_num and found == expected


def test_a_dense_model_of_hidden_size_198_trains_as_many_parameters_as_mporec_light(tiny_settings, tiny_path):
    """The dense control of results/baselines.md, for features of 384 columns as MiniLM's."""
    features = np.random.default_rng(0).normal(size=(30, 384)).astype(np.float32)
    np.save(tiny_path / "features.npy", features)
    kept = {key: tiny_settings[key] for key in KEYS} | {"feature_file": str(tiny_path / "features.npy")}

    def trained(name, **changes):
        model = built_run(name, "tiny", (), {**kept, **changes}).model
        return sum(value.numel() for value in model.parameters() if value.requires_grad)

    light = trained("MPORecLight")
    assert abs(trained("UniSRec", hidden_size=198) / light - 1) < 0.01
    assert abs(trained("LoRA") / light - 1) < 0.01
