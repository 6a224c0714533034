"""Where settings are found: the user's files first, names in any capitalisation, and none outside the folder."""

import pytest

from recbole_mpo.common import properties
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property, property_root


def test_a_users_file_in_the_current_directory_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_property("schema") == property_root() / "schema.yaml"
    file = tmp_path / "properties" / "dataset" / "Shop.yaml"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_property("dataset", "Shop") == file
    assert find_property("schema") == property_root() / "schema.yaml"


def test_names_match_in_any_capitalisation_the_exact_one_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "properties" / "model"
    folder.mkdir(parents=True)
    (folder / "MyModel.yaml").touch()
    assert find_property("model", "mymodel") == folder / "MyModel.yaml"
    (folder / "mymodel.yaml").touch()  # the same file on a system that ignores case
    assert find_property("model", "mymodel").name in {path.name for path in folder.iterdir()}
    assert find_property("model", "MyModel") == folder / "MyModel.yaml"


def test_an_unknown_name_finds_nothing_and_cannot_leave_the_folder():
    assert find_property("model", "NoSuchModel") is None
    assert find_property("model", "../overall") is None


@pytest.mark.parametrize(("kind", "name"), [("optimizer", "Adam"), ("model", None), ("overall", "MPORec")])
def test_a_wrong_kind_is_a_programming_error(kind, name):
    with pytest.raises(ValueError, match="kind is one of"):
        find_property(kind, name)


def test_missing_settings_are_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(properties, "_PACKAGE", tmp_path / "recbole_mpo")
    with pytest.raises(ConfigError, match="no schema.yaml in .*recbole_mpo.*install recbole-mpo again"):
        property_root()


def test_the_schema_is_always_the_packages_and_overall_the_users_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_property("overall") is None
    folder = tmp_path / "properties"
    folder.mkdir()
    for name in ("schema", "overall"):
        (folder / f"{name}.yaml").touch()
    assert find_property("overall") == folder / "overall.yaml"
    assert find_property("schema") == property_root() / "schema.yaml"
