"""The plan of a report: which rows, in which order, in which folders."""

import json

from recbole_mpo.release.compress.compress_options import Options
from recbole_mpo.release.compress.method import parse_variants
from recbole_mpo.release.compress.methods import METHODS
from recbole_mpo.release.compress.variants import finished_row, plan_variants
from recbole_mpo.release.folder_files import write_manifest


def plan(method, has_mpo=False, **options):
    options = Options(method, **options)
    chains = parse_variants(method, METHODS, bool(options.target_ratio))
    return [(variant.name, variant.epochs) for variant in plan_variants(chains, options, has_mpo)]


def test_the_uncompressed_model_comes_first():
    assert plan("fp16", has_mpo=True) == [("as trained", 0), ("uncompressed", 0), ("fp16", 0)]
    assert plan("fp16", finetune_epochs=[0, 2]) == [("uncompressed", 0), ("uncompressed", 2), ("fp16", 0)]


def test_epochs_and_ratios_are_for_those_that_use_them():
    found = plan("svd,svd:0.5,item-int8", finetune_epochs=[0, 1], target_ratio=[0.5, 0.25])
    assert found[2:] == [
        *(("svd to 0.5", 0), ("svd to 0.5", 1), ("svd to 0.25", 0), ("svd to 0.25", 1)),
        *(("svd:0.5", 0), ("svd:0.5", 1), ("item-int8", 0)),
    ]


def test_folders_have_plain_names_and_differ():
    options = Options("svd+item-pq:25,prune:0.5", finetune_epochs=[0, 5], target_ratio=[0.5])
    variants = plan_variants(parse_variants(options.method, METHODS, True), options, False)
    folders = [variant.folder for variant in variants]
    assert len(set(folders)) == len(folders)
    assert folders[:3] == ["uncompressed", "uncompressed-trained-5", "svd+item-pq-25-to-0.5"]
    assert folders[3] == folders[2] + "-trained-5"


def test_a_row_counts_for_its_options_alone(tmp_path):
    write_manifest(tmp_path, [])
    assert finished_row(tmp_path, "a") is None
    (tmp_path / "record.json").write_text(json.dumps({"identity": "a", "name": "fp16"}))
    assert finished_row(tmp_path, "a")["name"] == "fp16" and finished_row(tmp_path, "b") is None
    (tmp_path / "record.json").write_text("{")
    assert finished_row(tmp_path, "a") is None


def test_a_folder_without_hashes_is_made_again(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"identity": "a", "name": "fp16"}))
    assert finished_row(tmp_path, "a") is None
    write_manifest(tmp_path, [])
    assert finished_row(tmp_path, "a") is not None
