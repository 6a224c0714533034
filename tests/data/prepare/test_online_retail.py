"""Online Retail's table becomes invoices of stock codes; its published counts come back through added noise."""

import gzip
import tempfile
import zipfile

import numpy as np
import pandas as pd
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare import open_files
from recbole_mpo.data.prepare.online_retail import prepare_online_retail, table_in
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import find_source
from recbole_mpo.data.sequences import cut
from recbole_mpo.text.item_text import read_dataset_text

OR = find_source("OR")
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ROWS = [
    "536365,85123A, WHITE Holder £ ,6,12/1/2010 8:26,2.55,17850,United Kingdom",
    "536365,85123A, WHITE Holder £ ,6,12/1/2010 8:26,2.55,17850,United Kingdom",
    "536365,85123A,other words,7,12/1/2010 8:26,2.55,17850,United Kingdom",
    "536365,71053,,6,12/1/2010 8:26,3.39,17850,United Kingdom",
    "C536366,22,Lantern,1,1/13/2011 10:05,3.39,,France",
    "C536366,85123A,Lantern,1,1/13/2011 9:59,3.39,,France",
]


def write(path, rows=ROWS, encoding="latin-1"):
    path.write_text(HEADER + "".join(row + "\n" for row in rows), encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_rows_texts_and_order(tmp_path, encoding):
    prepared = prepare_online_retail(OR, write(tmp_path / "or.csv", encoding=encoding), Recipe(0, 1))
    rows = prepared.interactions
    assert rows.user_tokens.tolist() == ["536365", "C536366"]
    assert rows.item_tokens[rows.items].tolist() == ["85123A", "85123A", "85123A", "22"]
    assert prepared.texts == ["white holder £.", "lantern."]
    assert [step.dropped for step in rows.steps] == [0, 1, 1]


def test_excel_in_an_archive_equals_the_csv(tmp_path):
    pytest.importorskip("openpyxl", reason="openpyxl is not installed ([data])")
    frame = pd.read_csv(write(tmp_path / "or.csv"), encoding="latin-1")
    frame["InvoiceDate"] = pd.to_datetime(frame["InvoiceDate"], format="%m/%d/%Y %H:%M")
    frame.to_excel(tmp_path / "Online Retail.xlsx", index=False)
    with zipfile.ZipFile(tmp_path / "online+retail.zip", "w") as archive:
        archive.write(tmp_path / "Online Retail.xlsx", "inside/Online Retail.xlsx")
    (tmp_path / "Online Retail.xlsx").unlink()
    of_csv, of_archive = (
        prepare_online_retail(OR, tmp_path / name, Recipe(0, 1)) for name in ("or.csv", "online+retail.zip")
    )
    assert of_csv.texts == of_archive.texts
    assert not (tmp_path / "Online Retail.xlsx").exists()  # unpacked elsewhere
    for column in ("users", "items", "times"):
        assert np.array_equal(getattr(of_csv.interactions, column), getattr(of_archive.interactions, column))


def test_a_date_of_another_form_is_quoted(tmp_path):
    path = write(tmp_path / "or.csv", ["1,2,x,1,13/1/2011 8:00,1,1,UK"])
    with pytest.raises(DataError, match=r"InvoiceDate '13/1/2011 8:00' is not like 12/1/2010 8:26 \(month first\)"):
        prepare_online_retail(OR, path, Recipe(0, 1))


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"a\.zip is not a complete zip archive"), table_in(tmp_path / "a.zip"):
        pass


def test_nothing_unpacked_is_left_and_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../or.csv", "x")
    with table_in(tmp_path / "a.zip") as table:
        assert table.read_text() == "x" and table.parent.parent == tmp_path / "scratch"
    monkeypatch.setattr(open_files, "LARGE_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("or.csv", bytes(1 << 20))
    with pytest.raises(DataError, match=r"b\.zip unpacks to more than 100 times"), table_in(tmp_path / "b.zip"):
        pass
    assert not list((tmp_path / "scratch").iterdir())


def test_a_gzipped_table_cut_short_is_named(tmp_path):
    content = gzip.compress(write(tmp_path / "or.csv", ROWS * 200).read_bytes())
    (tmp_path / "or.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"or\.csv\.gz is damaged or cut short"):
        prepare_online_retail(OR, tmp_path / "or.csv.gz", Recipe(0, 1))


def raw_table(histories, texts, seed=0):
    """The invoices as a table again, with noise of every kind the recipe removes, in a random order."""
    draw = np.random.default_rng(seed)
    count = len(histories.items)
    descriptions = [texts[item].removesuffix(".").upper() for item in histories.item_tokens]
    # Each date is written once; a table has few of them.
    minutes, date_of = np.unique(np.asarray(histories.times, dtype=np.int64), return_inverse=True)
    dates = (pd.Timestamp("2010-12-01 08:26") + pd.to_timedelta(minutes, unit="min")).strftime("%m/%d/%Y %H:%M")
    rows = pd.DataFrame(
        {
            "InvoiceNo": histories.user_tokens[histories.users],
            "StockCode": histories.item_tokens[histories.items],
            "Description": np.array(descriptions, dtype=object)[histories.items],
            "Quantity": np.arange(count),  # so that no two rows of one invoice are the same
            "InvoiceDate": dates.to_numpy()[date_of],
        }
    )
    repeated = rows.iloc[draw.choice(count, 8000)]
    undescribed = rows.iloc[draw.choice(count, 1400)].assign(Description="", Quantity=-1)
    rare_invoices = rows.iloc[draw.choice(count, 4000)].assign(
        InvoiceNo=[f"C{number // 4}" for number in range(4000)], Quantity=-2
    )
    rare_codes = rows.iloc[draw.choice(count, 2000)].assign(
        StockCode=[f"R{number // 4}" for number in range(2000)], Quantity=-3
    )
    noise = pd.concat([repeated, undescribed, rare_invoices, rare_codes])
    whole = pd.concat([rows.assign(at=np.arange(count)), noise.assign(at=draw.integers(0, count, len(noise)) + 0.5)])
    return whole.sort_values("at", kind="stable").drop(columns="at")


def test_published_counts_come_back_from_a_noisy_table(shared_data, tmp_path):
    histories = read_dataset_histories(shared_data, "OR")
    item_text = read_dataset_text(shared_data / "OR" / "OR.text")
    texts = dict(zip(item_text.tokens, item_text.texts, strict=True))
    raw_table(histories, texts).to_csv(tmp_path / "or.csv", index=False)
    prepared = prepare_online_retail(OR, tmp_path / "or.csv", Recipe())
    assert prepared.statistics().counts == OR.expected == (16_520, 3_469, 519_906)
    rows = prepared.interactions
    lengths = np.bincount(rows.users)
    by_user = dict(zip(rows.user_tokens, cut(rows.item_tokens[rows.items], lengths), strict=True))
    expected = cut(histories.item_tokens[histories.items], histories.lengths)
    for user, items in zip(histories.user_tokens, expected, strict=True):
        assert np.array_equal(by_user[user], items)
    assert [texts[item] for item in rows.item_tokens] == prepared.texts
