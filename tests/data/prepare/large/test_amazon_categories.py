"""Amazon-2018-all: what the categories' files make together, as one category with all lines would."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from both_engines import DUCKDB, PARQUET

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import AMAZON_2018_ALL, find_source

pytest.importorskip("duckdb")
NAMES = ("Beauty", "Games", "Sports")
FILES = {"Beauty": "All_Beauty", "Games": "Video_Games", "Sports": "Sports_and_Outdoors", "Pantry": "Prime_Pantry"}


def reviews(seed, count=250):
    draw = np.random.default_rng(seed)
    rows = zip(draw.integers(30, size=count), draw.integers(20, size=count), draw.integers(1, 6, count), strict=True)
    # The numbers of items overlap, so that some items and reviews are in two categories.
    return [
        (f"B{item + 10 * seed:03}", f"A{user:02}", f"{rating}.0", int(draw.integers(1, 9)))
        for user, item, rating in rows
    ]


def metadata(seed):
    items = range(10 * seed, 10 * seed + 18)
    return [
        {"asin": f"B{item:03}", "title": f"Thing {item} of {seed}" if item % 7 else ".", "brand": "A"} for item in items
    ]


def write(folder, name, rows, records, compress=True):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{FILES[name]}.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path = folder / f"meta_{FILES[name]}.json"
    path.with_suffix(".json.gz" if compress else ".json").write_bytes(gzip.compress(content) if compress else content)


@pytest.fixture
def raw(tmp_path):
    for number, name in enumerate(NAMES):
        write(tmp_path / "raw", name, reviews(number), metadata(number), compress=number != 1)
    return tmp_path / "raw"


def request_of(tmp_path, **changes):
    fields = {"recipe": Recipe(3, 3), "engine": DUCKDB, "categories": NAMES, "raw": tmp_path / "raw"}
    return Request(tmp_path / "data", show_progress=False, **{**fields, **changes})


def expected(tmp_path, rows, records, recipe=None):
    """What the small path makes of one category with all lines."""
    write(tmp_path / "one", "Pantry", rows, records)
    request = Request(tmp_path / "one", recipe or Recipe(3, 3), raw=tmp_path / "one", show_progress=False)
    folder = prepare_dataset("Pantry", request)
    return [(folder / f"Pantry.{suffix}").read_bytes() for suffix in ("inter", "text")]


def all_lines():
    numbers = range(len(NAMES))
    return [row for n in numbers for row in reviews(n)], [record for n in numbers for record in metadata(n)]


def made(folder):
    return [(folder / f"{AMAZON_2018_ALL}.{suffix}").read_bytes() for suffix in ("inter", "text")]


def test_it_is_what_one_category_with_all_lines_makes(tmp_path, raw, capsys):
    rows, records = all_lines()
    # A review that is in a second category too.
    with open(raw / "Video_Games.csv", "a") as file:
        file.write(",".join(map(str, rows[5])) + "\n")
    folder = prepare_dataset("amazon-2018-ALL", request_of(tmp_path))
    out = capsys.readouterr().out
    assert folder == tmp_path / "data" / AMAZON_2018_ALL and "751  rows of 3 files of reviews" in out
    assert made(folder) == expected(tmp_path, rows, records)
    card = (folder / "README.md").read_text()
    assert (
        "Categories: Beauty, Games, Sports." in card and "| Video_Games.csv |" in card and "Amazon review data" in card
    )
    sharded = prepare_dataset(
        AMAZON_2018_ALL, replace(request_of(tmp_path), form=PARQUET, data_path=tmp_path / "parts")
    )
    assert (sharded / f"{AMAZON_2018_ALL}.shards" / "manifest.json").is_file()


def test_whole_reviews_serve_too(tmp_path, raw):
    rows, records = all_lines()
    (raw / "All_Beauty.csv").unlink()
    keys = ("asin", "reviewerID", "overall", "unixReviewTime")
    whole = [dict(zip(keys, row, strict=True)) | {"reviewText": "long"} for row in reviews(0)]
    lines = "".join(json.dumps({**record, "overall": float(record["overall"])}) + "\n" for record in whole)
    (raw / "All_Beauty.json.gz").write_bytes(gzip.compress(lines.encode()))
    assert made(prepare_dataset(AMAZON_2018_ALL, request_of(tmp_path))) == expected(tmp_path, rows, records)


@pytest.mark.parametrize("least", [None, 4.0])
def test_users_of_a_category_may_be_left_out_whatever_their_ratings(tmp_path, raw, capsys, least):
    recipe = Recipe(0, 3, least)
    beauty = {user for _, user, _, _ in reviews(0, 12)}
    write(raw, "Beauty", reviews(0, 12), metadata(0))
    request = request_of(tmp_path, recipe=recipe, without_users_of=("Beauty",))
    folder = prepare_dataset(AMAZON_2018_ALL, request)
    rows = [row for number in (1, 2) for row in reviews(number) if row[1] not in beauty]
    assert made(folder)[0] == expected(tmp_path, rows, all_lines()[1], recipe)[0]
    assert "reviews of users without one in Beauty" in capsys.readouterr().out
    assert ("go whatever their ratings are" in (folder / "README.md").read_text()) == (least is not None)


def test_what_is_missing_is_named_with_where_it_is(tmp_path, raw):
    message = rf"lacks 52 of the 58 files of {AMAZON_2018_ALL}: categoryFilesSmall/Industrial_and_Scientific\.csv, "
    with pytest.raises(DataError, match=message + r".* and 48 more; get them from https://\S+, or name the"):
        prepare_dataset(AMAZON_2018_ALL, request_of(tmp_path, categories=()))
    (raw / "meta_Video_Games.json").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of the 6 files .*: metaFiles2/meta_Video_Games\.json\.gz; get"):
        prepare_dataset(AMAZON_2018_ALL, request_of(tmp_path))
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"categories": ("Beauty", "Book")},
            r"categories: 'Book' is not a category \(did you mean 'Books'\?\); they are Scientific, ",
        ),
        ({"categories": ("Beauty", "Beauty")}, "categories: Beauty stands twice"),
        ({"without_users_of": ("Pets",)}, "without_users_of: 'Pets' is not a category"),
        (
            {"without_users_of": ("Pet",)},
            "without_users_of: the reviews of Pet are needed; name it in --categories too",
        ),
        ({"engine": Engine()}, "Amazon-2018-all is too large for memory: prepare it with --engine=duckdb"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, raw, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare_dataset(AMAZON_2018_ALL, request_of(tmp_path, **changes))


def test_it_has_all_categories_of_the_release():
    assert len(find_source(AMAZON_2018_ALL).entry["categories"]) == 29
