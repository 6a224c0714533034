"""Where a model comes from: no machine paths, and figures only of the run that they belong to."""

import json

import pytest
from support import LetterEncoder, built_run, folder_of

from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.origin import OF_MACHINE, RunOrigin, plain_settings
from recbole_mpo.release.recommend import Recommender


@pytest.fixture
def origin(tiny_settings):
    """Describes an untrained MPORec, with a record."""
    one = built_run("MPORec", "tiny", (), tiny_settings)
    files = one.experiment.source.files(one.config)

    def make(record=None):
        return RunOrigin("MPORec", one.config, one.model, True, files, record).describe()

    return make


def test_settings_have_no_path(tiny_settings, tmp_path, monkeypatch):
    (tmp_path / "encoders" / "mine").mkdir(parents=True)
    settings = {**tiny_settings, "text_encoder": f"{tmp_path}/encoders/mine,tfidf-svd,org/name"}
    plain = plain_settings(built_run("MPORec", "tiny", (), settings).config)
    assert plain["text_encoder"] == "mine,tfidf-svd,org/name"
    # A checkpoint of another machine has paths that lead nowhere here.
    settings["text_encoder"] = "/nowhere/of/this/machine/theirs/,~/encoders/hers"
    elsewhere = plain_settings(built_run("MPORec", "tiny", (), settings).config)
    assert elsewhere["text_encoder"] == "theirs,hers"
    assert not OF_MACHINE & plain.keys() and str(tmp_path) not in json.dumps(plain)
    assert plain["hidden_size"] == 16 and plain["dataset"] == "tiny"


def test_without_a_record_there_are_no_figures(origin):
    described = origin()
    assert described.model == "UniSRec" and not any(key.startswith("mpo_") for key in described.settings)
    assert described.run["trained_as"] == "MPORec" and "test" not in described.run
    assert set(described.run["data"]["files"]) == {"tiny.inter", "tiny.text"} and described.run["data"]["edited"] == []
    assert described.run["params"]["by_group"]["adaptor (cores)"]["total"] > 0
    assert described.encoders[0]["encoder"] == "tfidf-svd"


def test_features_of_ids_have_no_encoder(tiny_settings, monkeypatch):
    LetterEncoder.replace_all(monkeypatch)
    one = built_run("UniSRec", "tiny", (), {**tiny_settings, "item_input": "id"})
    assert RunOrigin("UniSRec", one.config, one.model, False, {}).describe().encoders is None


class TestOfARun:
    @pytest.fixture
    def trained(self, tiny_settings):
        record = run("MPORec", "tiny", (), {**tiny_settings, "epochs": 1})
        return record, folder_of(record)

    def described(self, path):
        return Recommender.from_checkpoint(path)._origin()

    def test_figures_and_data_are_the_records(self, trained, tiny_path):
        record, folder = trained
        found = self.described(folder / "best.pth")
        assert found.run["test"] == record["test"] and found.run["data"]["test_pairs"] == record["data"]["test_pairs"]
        assert found.run["data"]["files"] == record["data"]["files"]
        text = tiny_path / "tiny" / "tiny.text"
        text.write_text(text.read_text().replace("i9\t", "i9\tpurple lamp "))
        edited = self.described(folder / "best.pth")
        assert edited.run["data"]["files"] == record["data"]["files"]
        assert edited.run["data"]["edited"] == ["tiny.text"]

    def test_figures_are_not_those_of_the_last_epoch(self, trained):
        assert "test" not in self.described(trained[1] / "last.pth").run

    @pytest.mark.parametrize("change", [{"status": "running"}, {"model": "UniSRec"}, {"dataset": "other"}, None])
    def test_records_of_others_are_not_used(self, trained, change):
        record, folder = trained
        path = folder / "record.json"
        content = json.loads(path.read_text())
        path.write_text("{" if change is None else json.dumps({**content, **change}))
        assert "test" not in self.described(folder / "best.pth").run
