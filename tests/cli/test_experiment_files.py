"""A YAML file may hold a whole experiment: the command, its options, and settings."""

import pytest
import yaml

from recbole_mpo.cli import main as cli
from recbole_mpo.cli.commands import COMMANDS
from recbole_mpo.cli.experiment_files import read_experiments
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import property_root
from recbole_mpo.common.values import read_yaml
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.record import read_record


@pytest.fixture
def write(tmp_path):
    def put(name="a.yaml", **content):
        (tmp_path / name).write_text(yaml.safe_dump(content, sort_keys=False))
        return name

    return put


def test_options_and_settings_are_told_apart_and_other_files_are_left(write):
    first = write(command="run", model="MPORec", epochs=3, dry_run=True, config_files=None)
    paths = [write("b.yaml", epochs=1), first, write("c.yaml", command="run", epochs=4)]
    others, texts, settings = read_experiments(paths, "run", ["model", "dataset", "dry_run"])
    assert others == ["b.yaml"] and settings == {"epochs": 4}
    assert texts == {"model": "MPORec", "dry_run": "true"}


def test_lists_are_written_as_on_the_command_line(write):
    _, texts, _ = read_experiments([write(command="pretrain", domains=["A", "B"])], "pretrain", ["domains"])
    assert texts == {"domains": "A,B"}


def test_an_experiment_of_another_command_says_which(write):
    path = write(command="pretrain")
    with pytest.raises(ConfigError, match="a.yaml is an experiment of the command 'pretrain': recbole-mpo pretrain"):
        read_experiments([path], "run", [])


def test_the_command_line_wins_over_the_file(write, tiny_arguments):
    path = write(command="run", model="UniSRec", epochs=7, record="file.json", dry_run=True)
    arguments = [one for one in tiny_arguments(epochs=2) if not one.startswith("--model")]
    assert cli.main([*arguments, f"--config_files={path}"]) == 0
    record = read_record("file.json")
    assert (record["model"], record["config"]["epochs"], record["status"]) == ("UniSRec", 2, "dry_run")


def test_packaged_files_are_found_from_any_folder(failing):
    """The working folder of a test has no properties/."""
    others, texts, settings = read_experiments(["properties/experiment/pretrain.yaml"], "pretrain", ["domains"])
    assert texts["domains"].count(",") == 3 and not others and settings["loss"] == "sampled"
    assert "properties/experiment/none.yaml cannot be read" in failing(
        "run", "--model=MPORec", "--dataset=tiny", "--config_files=properties/experiment/none.yaml"
    )


@pytest.mark.parametrize("path", sorted((property_root() / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_packaged_experiment_is_one_that_its_command_takes(path):
    content = read_yaml(path)
    command = COMMANDS[content["command"]]
    _, texts, settings = read_experiments([str(path)], content["command"], command.options)
    given = {key: option.read(texts[key]) for key, option in command.options.items() if key in texts}
    missing = [key for key, option in command.options.items() if option.required and key not in given]
    assert not missing
    domains = given.get("domains")
    make_config(given["model"], given.get("dataset") or "+".join(domains), (), {**settings, "domains": domains})
