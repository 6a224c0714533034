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
from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.scaling.plan import Plan


@pytest.fixture
def write(tmp_path):
    def put(name="a.yaml", **content):
        (tmp_path / name).write_text(yaml.safe_dump(content, sort_keys=False))
        return name

    return put


def test_options_and_settings_are_told_apart_and_files_stay_in_order(write):
    first = write(command="run", model="MPORec", epochs=3, dry_run=True)
    paths = [write("b.yaml", epochs=1), first, write("c.yaml", command="run", epochs=4)]
    layers, texts = read_experiments(paths, "run", ["model", "dataset", "dry_run"])
    assert layers == ["b.yaml", {"epochs": 3}, {"epochs": 4}]
    assert texts == {"model": "MPORec", "dry_run": "true"}


def test_names_are_texts_and_lists_are_written_as_on_the_command_line(tmp_path):
    (tmp_path / "a.yaml").write_text("command: pretrain\ndomains: [A, 007]\nmodel: 0123\noutput: ~\n")
    _, texts = read_experiments(["a.yaml"], "pretrain", ["domains", "model", "output"])
    assert texts == {"domains": "A,007", "model": "0123", "output": "~"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"command": "pretrain"}, "a.yaml is an experiment of the command 'pretrain', not of run: recbole-mpo p"),
        ({"command": None}, "a.yaml is an experiment of the command None, not of run: recbole-mpo NAME"),
        ({"command": "run", "config_files": ["b.yaml"]}, "a.yaml names config_files; write these settings into it"),
    ],
)
def test_what_is_no_experiment_of_the_command_is_refused(write, content, message):
    with pytest.raises(ConfigError, match=message):
        read_experiments([write(**content)], "run", [])


def test_later_files_win(write, tiny_arguments):
    experiment, later = write(command="run", epochs=3, stopping_step=2), write("later.yaml", epochs=5, stopping_step=4)
    for order, epochs in (((experiment, later), 5), ((later, experiment), 3)):
        files = f"--config_files={','.join(order)}"
        assert cli.main([*tiny_arguments(epochs=None), files, "--dry_run", "--record=a.json"]) == 0
        assert read_record("a.json")["config"]["epochs"] == epochs


def test_the_command_line_wins_over_the_file(write, tiny_arguments):
    path = write(command="run", model="UniSRec", epochs=7, record="file.json", dry_run=True)
    arguments = [one for one in tiny_arguments(epochs=2) if not one.startswith("--model")]
    assert cli.main([*arguments, f"--config_files={path}"]) == 0
    record = read_record("file.json")
    assert (record["model"], record["config"]["epochs"], record["status"]) == ("UniSRec", 2, "dry_run")


def test_packaged_files_are_found_from_any_folder(failing):
    """The working folder of a test has no properties/."""
    layers, texts = read_experiments(["properties/experiment/pretrain.yaml"], "pretrain", ["domains"])
    assert texts["domains"].count(",") == 3 and layers[0]["loss"] == "sampled"
    assert "properties/experiment/none.yaml cannot be read" in failing(
        "run", "--model=MPORec", "--dataset=tiny", "--config_files=properties/experiment/none.yaml"
    )


@pytest.mark.parametrize("path", sorted((property_root() / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_packaged_experiment_is_one_that_its_command_takes(path):
    content = read_yaml(path)
    command = COMMANDS[content["command"]]
    layers, texts = read_experiments([str(path)], content["command"], command.options)
    given = {key: option.read(texts[key]) for key, option in command.options.items() if key in texts}
    missing = [key for key, option in command.options.items() if option.required and key not in given]
    assert not missing
    if content["command"] == "compare":
        # Any dataset will do: each run's settings are checked as they will be.
        for row in read_rows(layers[0], given.get("seeds", [1]), {}):
            make_config(row.model, "any", (), row.settings)
        return
    if content["command"] == "scaling":
        for cell in Plan.read(layers[0]).cells:
            make_config(cell.row.model, "any", (), cell.row.settings)
        return
    domains = given.get("domains")
    make_config(given["model"], given.get("dataset") or "+".join(domains), layers, {"domains": domains})
