"""From a name to a folder: which raw files are taken, what is told, and what is left alone."""

import gzip
import json
from dataclasses import replace

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare import prepare as module
from recbole_mpo.data.prepare import raw_files
from recbole_mpo.data.prepare.download import Unreachable
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset, prepare_if_absent
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

ROWS = [(user, item, 10 * user + item) for user in range(4) for item in range(4)]


def own_request(tmp_path, **changes) -> Request:
    lines = ["who,sku,when", *(f"u{user},i{item},{time}" for user, item, time in ROWS)]
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n")
    own = OwnTables(Table(tmp_path / "orders.csv"), Columns("who", "sku", "when"))
    return Request(tmp_path / "data", Recipe(0, 1), own=own, **changes)


def write_pantry(folder, compressed=True):
    folder.mkdir(parents=True)
    reviews = [f"{item:04},u{user},5,{time}" for user, item, time in ROWS]
    (folder / "Prime_Pantry.csv").write_text("\n".join(reviews) + "\n")
    content = "\n".join(json.dumps({"asin": f"{item:04}", "title": f"Thing {item}"}) for item in range(4)).encode()
    name = "meta_Prime_Pantry.json"
    (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(content) if compressed else content)


def test_own_tables_become_a_folder_and_every_step_is_told(tmp_path, capsys):
    folder = prepare_dataset("shop", own_request(tmp_path))
    assert folder == tmp_path / "data" / "shop" and (folder / "README.md").is_file()
    assert len(read_dataset_histories(tmp_path / "data", "shop").items) == 16
    out = capsys.readouterr().out
    assert "16  rows of orders.csv\n" in out and "(0 dropped)" not in out
    assert "shop: 4 users, 4 items, 16 interactions, 4.00 interactions per user\n" in out


def test_a_dataset_that_exists_is_left_as_it_is_unless_told(tmp_path):
    prepare_dataset("shop", own_request(tmp_path))
    before = (tmp_path / "data" / "shop" / "shop.inter").read_bytes()
    with pytest.raises(DataError, match=r"data/shop already holds a dataset, .*give --overwrite=true"):
        prepare_dataset("shop", own_request(tmp_path))
    prepare_dataset("shop", own_request(tmp_path, overwrite=True, form=Form(layout="presplit")))
    assert not (tmp_path / "data" / "shop" / "shop.inter").exists()
    prepare_dataset("shop", own_request(tmp_path, overwrite=True))
    assert (tmp_path / "data" / "shop" / "shop.inter").read_bytes() == before


@pytest.mark.parametrize("name", ["shop.text", "shop.item2index", "README.md"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_that_was_made_by_hand_is_left_even_if_told(tmp_path, name, overwrite):
    (tmp_path / "data" / "shop").mkdir(parents=True)
    (tmp_path / "data" / "shop" / name).write_text("mine")
    with pytest.raises(DataError, match=rf"data/shop/{name} was not made by prepare"):
        prepare_dataset("shop", own_request(tmp_path, overwrite=overwrite))
    assert [(path.name, path.read_text()) for path in (tmp_path / "data" / "shop").iterdir()] == [(name, "mine")]


def test_an_own_table_in_the_datasets_folder_is_not_replaced(tmp_path):
    request = own_request(tmp_path, overwrite=True)
    (tmp_path / "data" / "shop").mkdir(parents=True)
    table = (tmp_path / "orders.csv").rename(tmp_path / "data" / "shop" / "shop.text")
    before = table.read_bytes()
    own = OwnTables(Table(table, separator=","), request.own.columns)
    with pytest.raises(DataError, match=r"shop\.text is an input of this preparation"):
        prepare_dataset("shop", replace(request, own=own))
    assert table.read_bytes() == before


@pytest.mark.parametrize("name", ["..", ".", "../shop", "a/b"])
def test_a_path_is_no_name(tmp_path, name):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="is not the name of a dataset"):
        prepare_dataset(name, own_request(tmp_path, overwrite=True))
    with pytest.raises(ConfigError, match="is not the name of a dataset"):
        prepare_dataset(name, Request(tmp_path / "data", domains=("a", "b")))
    with pytest.raises(ConfigError, match="is not the name of a dataset"):
        prepare_if_absent(name, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("place, compressed", [("", True), ("unpacked", False)])
def test_local_files_serve_instead_of_a_download(tmp_path, caplog, place, compressed):
    write_pantry(tmp_path / "raw" / place, compressed)
    request = Request(tmp_path, Recipe(0, 1), raw=tmp_path / "raw", show_progress=False)
    assert prepare_dataset("PANTRY", request) == tmp_path / "Pantry"
    assert "Thing 3." in (tmp_path / "Pantry" / "Pantry.text").read_text()
    assert "Pantry has 4 / 4 / 16 users, items and interactions" in caplog.text
    assert "; the published numbers are 13,101 / 4,898" in caplog.text


@pytest.mark.parametrize("name, missing", [("Pantry", r"Prime_Pantry\.csv"), ("OR", r"online\+retail\.zip|Online")])
def test_a_local_file_that_is_missing_is_named_with_its_address(tmp_path, name, missing):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=rf"--raw=.*raw does not hold .*({missing}).*, which is published at http"):
        prepare_dataset(name, Request(tmp_path, raw=tmp_path / "raw"))


def test_without_a_network_the_files_still_missing_are_named_with_their_addresses(tmp_path, monkeypatch):
    def fetch(file, addresses, folder, *_):
        if "meta" in file:
            raise Unreachable("no answer")
        folder.mkdir(parents=True)
        (folder / file.split("/")[-1]).touch()
        return folder / file.split("/")[-1]

    monkeypatch.setattr(raw_files, "fetch", fetch)
    message = r"^no answer\. Without a network: get http://a\.b/\S*meta_Prime_Pantry\.json\.gz on another machine, put "
    with pytest.raises(DataError, match=message + rf"the files into {tmp_path}/\.raw/Pantry/ "):
        prepare_dataset("Pantry", Request(tmp_path, source_url="http://a.b/"))


def test_grouplens_files_are_asked_for_with_their_address_and_place(tmp_path):
    message = r"ratings\.dat and movies\.dat: download https://.* unpack it into .*\.raw/ml-1m/"
    with pytest.raises(DataError, match=message):
        prepare_dataset("ml-1m", Request(tmp_path))


def test_a_smallest_rating_needs_ratings(tmp_path):
    write_pantry(tmp_path / "raw")
    with pytest.raises(DataError, match="no row with a 'rating' of at least 5.5"):
        prepare_dataset("Pantry", Request(tmp_path, Recipe(0, 1, 5.5), raw=tmp_path / "raw"))
    assert prepare_dataset("Pantry", Request(tmp_path, Recipe(0, 1, 5), raw=tmp_path / "raw")).is_dir()
    with pytest.raises(ConfigError, match="OR has no ratings; leave --min_rating out"):
        prepare_dataset("OR", Request(tmp_path, Recipe(0, 1, 5), raw=tmp_path / "raw"))


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'Pantri' is not a known dataset"):
        prepare_dataset("Pantri", Request(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_is_a_data_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device", "a.csv")

    monkeypatch.setattr(module, "prepare_own", refuse)
    with pytest.raises(DataError, match=r"a\.csv: No space left on device"):
        prepare_dataset("shop", own_request(tmp_path))


# A run's data


def test_only_known_datasets_that_are_absent_are_prepared(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(module, "prepare_dataset", lambda name, request: asked.append((name, request.data_path)))
    prepare_if_absent("unknown", tmp_path)
    prepare_if_absent("pantry", tmp_path)  # not its name, so that the run looks for a folder that is not made
    (tmp_path / "OR").mkdir()
    (tmp_path / "OR" / "OR.inter").touch()
    prepare_if_absent("OR", tmp_path)
    assert not asked and capsys.readouterr().out == ""
    prepare_if_absent("Pantry", tmp_path)
    assert asked == [("Pantry", tmp_path)]
    assert f"Pantry is not in {tmp_path}/; preparing it from its raw data first" in capsys.readouterr().out


def test_domains_are_prepared_first_and_joined(tmp_path, make_dataset, capsys):
    for seed, name in enumerate(("one", "two")):
        make_dataset(tmp_path, name, users=5, items=8, seed=seed)
    assert prepare_dataset("both", Request(tmp_path, domains=("one", "two"))) == tmp_path / "both"
    assert "both: 10 users, " in capsys.readouterr().out
