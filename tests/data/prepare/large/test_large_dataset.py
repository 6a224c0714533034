"""A dataset in a database is written like one in memory: statistics, card, both formats, nothing replaced."""

import json
from dataclasses import replace

import pytest
from both_engines import DUCKDB, PARQUET, parquet_file, random_rows, request_of, write_csv

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.own_tables import prepare_own
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.rows_hash import hash_of_inter
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def request_(tmp_path):
    write_csv(tmp_path, *random_rows())
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(f"{n:03},Thing {n} of mine\n" for n in range(3, 30)))
    request = request_of(tmp_path, Recipe(3, 3), items=Table(tmp_path / "items.csv"), fields=("title",))
    return replace(request, engine=DUCKDB)


def test_statistics_are_those_of_memory(request_, capsys):
    prepare_dataset("shop", request_)
    small = prepare_own("shop", request_.own, request_.recipe)
    out = capsys.readouterr().out
    assert ", ".join(f"{value} {what}" for what, value in small.statistics().rows()) in out
    assert f"{small.other_items} more items have text but no interactions" in out


def test_fractions_are_hashed_and_written_as_python_writes_them(tmp_path, request_):
    times = [0.1, 1e22, 1e-7, 123456789.125, 2.0, 1 / 3] * 20
    path = parquet_file(
        tmp_path / "a.parquet", user=list("abcdef") * 20, item=[f"i{n % 11}" for n in range(120)], time=times
    )
    request = replace(request_of(tmp_path, table=Table(path)), engine=DUCKDB)
    lines = prepare_dataset("lines", request) / "lines.inter"
    shards = prepare_dataset("parts", replace(request, form=PARQUET)) / "parts.shards"
    assert {line.split("\t")[2] for line in lines.read_text().splitlines()[1:]} == set(map(str, times))
    assert json.loads((shards / "manifest.json").read_text())["rows_hash"] == hash_of_inter(lines)
    assert str(parquet.read_schema(shards / "part-00000.parquet").field("timestamp").type) == "double"


def test_times_beyond_64_bits_with_a_sign_go_to_lines_alone(tmp_path):
    write_csv(tmp_path, "u,a,18446744073709551615", "u,b,18446744073709551614")
    request = replace(request_of(tmp_path), engine=DUCKDB)
    assert (
        prepare_dataset("lines", request).joinpath("lines.inter").read_text().endswith("u\ta\t18446744073709551615\n")
    )
    with pytest.raises(DataError, match="Parquet output holds times up to"):
        prepare_dataset("parts", replace(request, form=PARQUET))
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["lines"]


def test_nothing_is_replaced_unless_told(request_):
    folder = prepare_dataset("shop", request_)
    before = (folder / "shop.inter").read_bytes()
    with pytest.raises(DataError, match="already holds a dataset, which was not changed"):
        prepare_dataset("shop", replace(request_, form=PARQUET))
    assert (folder / "shop.inter").read_bytes() == before and not (folder / "shop.shards").exists()
    prepare_dataset("shop", replace(request_, form=PARQUET, overwrite=True))
    assert not (folder / "shop.inter").exists() and (folder / "shop.shards" / "manifest.json").is_file()
    prepare_dataset("shop", replace(request_, overwrite=True, engine=Engine()))
    assert (folder / "shop.inter").read_bytes() == before and not (folder / "shop.shards").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["shop"]


@pytest.mark.parametrize(
    "name, changes, message",
    [
        (
            "shop",
            {"form": Form(layout="presplit")},
            "writes whole histories, which a run splits; leave --layout=presplit out",
        ),
        ("shop", {"form": Form(split="temporal")}, "leave --split=temporal out"),
        ("OR", {"own": None}, "reads your own tables and Amazon's reviews, not OR; leave --engine out"),
        ("ml-100k", {"own": None}, "not ml-100k; leave --engine out"),
        ("both", {"own": None, "domains": ("a", "b")}, "not both; leave --engine out"),
        ("Scientifi", {"own": None}, "'Scientifi' is not a known dataset"),
    ],
)
def test_what_only_memory_does_is_refused(request_, name, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare_dataset(name, replace(request_, **changes))
    assert not request_.data_path.exists()


def test_the_default_engine_is_memory():
    assert Request().engine == Engine("memory")
