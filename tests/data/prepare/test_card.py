"""The card names every file with its size and hash, also those in folders."""

from recbole_mpo.common.files import file_hash
from recbole_mpo.data.prepare.card import Card
from recbole_mpo.data.prepare.recipe import Step
from recbole_mpo.data.statistics import Statistics


def test_lines(tmp_path):
    (raw := tmp_path / "raw").mkdir()
    (raw / "part-0.parquet").write_text("abc")
    (stage := tmp_path / "stage" / "shop.shards").mkdir(parents=True)
    (stage / "manifest.json").write_text("{}")
    (stage.parent / "other.txt").touch()
    steps = (Step("rows of raw", 1200, 0), Step("rows that differ", 1000, 200))
    card = Card("shop", None, (raw,), "leave-one-out", ("A note.",), steps, Statistics.of(10, 20, 1000, None))
    lines = list(card.lines(stage.parent))
    assert lines[:3] == ["# shop", "", "Prepared from own tables."]
    assert "- A note." in lines and "| rows that differ | 1,000 | 200 |" in lines and "| users | 10 |" in lines
    assert lines[-2:] == [
        f"| raw/part-0.parquet | 3 | {file_hash(raw / 'part-0.parquet')} |",
        f"| shop.shards/manifest.json | 2 | {file_hash(stage / 'manifest.json')} |",
    ]
