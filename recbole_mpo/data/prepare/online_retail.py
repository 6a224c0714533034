"""Online Retail: invoices of a UK web shop, prepared as UniSRec's authors did.

Sources: D. Chen, UCI Machine Learning Repository, 2015; steps: Hou et al. (UniSRec), KDD 2022; docs/data.md.
"""

import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.open_files import open_text, unpack
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import check_tokens
from recbole_mpo.data.prepare.recipe import Interactions, Recipe, Step, TokenNumbers
from recbole_mpo.data.prepare.scratch import scratch_folder
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.table_files import Table

TABLES = (".xlsx", ".csv", ".parquet")
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate")
# As in the published file, and as spreadsheets and data frames write it.
DATE_FORMATS = ("%m/%d/%Y %H:%M", "ISO8601")
NOTES = (
    "A user is an invoice, an item is a stock code, and its text is the code's first description in lower case.",
    "Rows that are equal in invoice, item, quantity and minute count once; rows of one minute keep the table's order.",
)


@contextmanager
def table_in(path: Path):
    """Yield the path of the table; a table in an archive is unpacked into a temporary folder."""
    if path.suffix.lower() != ".zip":
        yield path
        return
    with scratch_folder(Path(tempfile.gettempdir()), "recbole-mpo-unpacked.") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if one.filename.lower().endswith(TABLES)]
                if not members:
                    raise DataError(f"{path} contains no .xlsx, .csv or .parquet table")
                table = folder / f"table{Path(members[0].filename).suffix}"
                unpack(archive, members[0], table, path)
        except zipfile.BadZipFile as problem:
            raise DataError(f"{path} is not a complete zip archive ({problem}); delete it and run again") from problem
        yield table


def prepare_online_retail(source: Source, path: Path, recipe: Recipe) -> Prepared:
    """Return the table's invoices as users with interactions.

    Raises:
        DataError: the table is missing, damaged or in another format, or no interaction is left.
    """
    with table_in(path) as table:
        interactions, quantities, described = _read(table)
    what = "rows that differ in invoice, item, quantity or minute"
    interactions = interactions.without_duplicates(quantities, what=what)
    sentences = [f"{text.strip().lower()}." for text in described["Description"]]
    text_of = dict(zip(described["StockCode"], sentences, strict=True))
    interactions = recipe.apply(interactions)
    texts = [text_of[token] for token in interactions.item_tokens]
    return Prepared(source.name, interactions, texts, (path,), source, NOTES)


def _read(path: Path) -> tuple[Interactions, np.ndarray, pd.DataFrame]:
    """Return the rows with a description, their quantities, and each stock code's first description."""
    blocks = list(Table(path, encoding=_encoding(path)).blocks(COLUMNS))
    rows = pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=list(COLUMNS))
    described = rows.dropna(subset=["InvoiceNo", "StockCode", "Description", "InvoiceDate"])
    if described.empty:
        raise DataError(f"{path} has no row with {', '.join(COLUMNS)}")
    users, items, quantities = TokenNumbers(), TokenNumbers(), TokenNumbers()
    interactions = Interactions(
        users(described["InvoiceNo"].to_numpy()),
        items(described["StockCode"].to_numpy()),
        _minutes(described["InvoiceDate"], path),
        users.tokens,
        items.tokens,
        (
            Step(f"rows of {path.name}", len(rows), 0),
            Step("rows with a description", len(described), len(rows) - len(described)),
        ),
    )
    for tokens in (users.tokens, items.tokens):
        check_tokens(tokens, str(path))
    first = described.drop_duplicates("StockCode")[["StockCode", "Description"]]
    return interactions, quantities(described["Quantity"].to_numpy()), first


def _encoding(path: Path) -> str:
    """Return the encoding: UTF-8 if the table was saved so, else Latin-1, as published."""
    try:
        with open_text(path) as file:
            for _ in file:
                pass
    except UnicodeDecodeError:
        return "latin-1"
    except (EOFError, OSError, zlib.error):
        pass  # reading the table will report what is wrong
    return "utf-8-sig"


def _minutes(dates: pd.Series, path: Path) -> np.ndarray:
    """Return milliseconds since 1970, in whole minutes."""
    for form in DATE_FORMATS:
        parsed = pd.to_datetime(dates, format=form, errors="coerce")
        if parsed.notna().all():
            return parsed.dt.floor("min").astype("int64").to_numpy() // 1_000_000
    bad = dates[parsed.isna() & pd.to_datetime(dates, format=DATE_FORMATS[0], errors="coerce").isna()]
    example = bad.iloc[0] if len(bad) else dates.iloc[0]
    raise DataError(f"{path}: InvoiceDate {example!r} is not like 12/1/2010 8:26 (month first) or 2010-12-01 08:26")
