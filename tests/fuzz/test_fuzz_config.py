"""2,000 odd configuration files and arguments: refused with the file or the setting, or taken as they are written."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import write_dataset
from fuzz.damage import FRAGMENTS, GONE, TEXTS, damaged, odd_value
from fuzz.trial import Attempt, try_cases

from recbole_mpo.common.schema import read_schema
from recbole_mpo.common.values import YamlLoader, parse_assignments
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.recorded_run import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
MODELS = ("MPORec", "UniSRec", "PeterRec", "SASRec", "CCDR", "S3RecFixed", "CoVisit", "BERT4RecFair")
SETTINGS = """\
# Some settings of each kind.
seed: 7
use_gpu: false
epochs: 3
learning_rate: 1e-3
stopping_step: 5
MAX_ITEM_LIST_LENGTH: 20
topk: [10, 50]
metrics: [Hit, NDCG]
valid_metric: NDCG@10
eval_args: {split: {LS: valid_and_test}, order: TO, group_by: user, mode: full}
data_path: "data"
run_label: 'a label'
"""
ARGUMENTS = ("null", "true", "-1", "0", "1", "2.5", "1e-3", "nan", ".inf", "abc", "[]", "[1,2]", "{a: 1}", "a,b", "''")


def as_written(config, given: dict) -> str | None:
    """Return the first setting that is not as it was given; a record can hold all settings."""
    plain = config.plain()
    json.dumps(plain, allow_nan=False)
    for key, value in given.items():
        is_scalar = isinstance(value, bool | int | float) and key in plain
        if is_scalar and isinstance(plain[key], bool | int | float) and plain[key] != value:
            return f"{key} is {plain[key]!r}, given {value!r}"
    return None


def test_configuration_files(tmp_path, record_property):
    files = [SETTINGS.encode(), *(path.read_bytes() for path in sorted(properties_of_models()))]

    def attempt(draw):
        data, ways = damaged(draw.choice(files), draw, TEXTS)
        path = tmp_path / "odd.yaml"
        path.write_bytes(data)
        model = draw.choice(MODELS)
        text = data.decode("utf-8", errors="replace")
        # A setting is named by its key, of which a damaged text may have any.
        keys = {line.partition(":")[0].strip("\ufeff\"' {") for line in text.splitlines()}
        names = (str(path), "unknown setting", *(key for key in keys if len(key) > 2))

        def fault(config):
            return as_written(config, yaml.load(text, Loader=YamlLoader) or {})

        return Attempt(f"{model} {ways}", names, lambda: make_config(model, "tiny", [path])[1], fault)

    try_cases(record_property, "config, files", 800, attempt)


def properties_of_models():
    return (Path(__file__).resolve().parents[2] / "properties" / "model").glob("*.yaml")


def test_arguments(record_property):
    keys = sorted(read_schema().settings.keys() | read_schema().recbole.keys())

    def attempt(draw):
        model, key = draw.choice(MODELS), draw.choice(keys)
        odd = draw.choice(FRAGMENTS).decode("utf-8", errors="surrogateescape")
        text = draw.choice((draw.choice(ARGUMENTS), draw.choice(ARGUMENTS) + odd, odd))

        def read():
            return make_config(model, "tiny", (), parse_assignments([f"--{key}={text}"]))[1]

        return Attempt(f"{model} --{key}={text!r}"[:200], (key, "value "), read, lambda config: as_written(config, {}))

    try_cases(record_property, "config, arguments", 800, attempt)


# What decides how much memory and time a run takes, which no limit is right for.
SIZES = set("epochs pretrain_epochs hidden_size inner_size n_layers n_exps topk num_layers embedding_size".split())


def test_a_run_of_accepted_settings_is_built_or_refused(tmp_path, record_property):
    """Values that are right alone meet the data and the model."""
    write_dataset(tmp_path / "data", users=12, items=10)
    given = {"show_progress": False, "use_gpu": False, "epochs": 1, "hidden_size": 8}
    given |= {"data_path": str(tmp_path / "data"), "checkpoint_dir": str(tmp_path / "saved")}
    schema = read_schema()

    def attempt(draw):
        model = draw.choice(MODELS)
        used = [key for key in schema.settings if schema.uses(model, key)]
        settings = {key: value for key, value in given.items() if key in used}
        if "text_encoder" in used:
            settings |= {"text_encoder": "tfidf-svd", "cache_dir": str(tmp_path / "cache")}
        if model == "CCDR":
            settings["ccdr_clusters"] = 3
        changes = {}
        for key in draw.sample(sorted(set(used) - SIZES - settings.keys()), draw.choice((1, 1, 2))):
            row = schema.settings[key]
            worth = (*row.tune, *row.choices, *(value for value in (row.at_least, row.at_most) if value is not None))
            value = draw.choice((*worth, *worth, odd_value(draw)))
            changes[key] = None if value is GONE else value
        names = (*changes, *(str(value) for value in changes.values()), "tiny")
        settings |= changes
        return Attempt(f"{model} {changes}"[:300], names, lambda: run(model, "tiny", (), settings, dry_run=True))

    try_cases(record_property, "config, runs built", 400, attempt)
