"""Compresses one checkpoint in every way that results/compression.md shows, with several processes that share the work.

    python benchmarks/compression_study.py --checkpoint=FILE --output=DIR [--processes=8] [--threads=2] [--key=value …]
    python benchmarks/compression_study.py --checkpoint=FILE --output=DIR --times=true [--key=value …]
    python benchmarks/compression_study.py --output=DIR --publish=results

The first makes all variants; stopped, the same command goes on, and the same command on another machine that sees the
folder takes a share. ``--use_gpu=true`` trains further on a GPU; all else is on the processor. The second takes the
times of all finished variants, in one process, on a machine that does nothing else. The third writes the report and
the tables of ``compression.md`` between their marks; the prose around them stays.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from recbole_mpo.common.files import write_lines
from recbole_mpo.common.paired import paired_difference
from recbole_mpo.common.rank_gains import rank_gains
from recbole_mpo.common.values import parse_assignments
from recbole_mpo.release.compress.method import name_of_chain, parse_variants
from recbole_mpo.release.compress.methods import METHODS
from recbole_mpo.release.compress.variant_report import REPORT, label, markdown_table, write_report
from recbole_mpo.release.compress.variants import RANKS, Variant

# Each method at three strengths, if it has any; the model has two heads.
STRENGTHS = {
    "ffn": (0.25, 0.5, 0.75),
    "heads": (0.5,),
    "experts": (0.25, 0.5, 0.75),
    "feature-pca": (0.5, 0.75, 0.9),
    "prune": (0.5, 0.75, 0.9),
    "svd": (0.25, 0.5, 0.75),
    "svd-energy": (0.1, 0.2, 0.3),
    "mpo": (56, 44, 32),
    "mpo-energy": (0.1, 0.3, 0.5),
    "squeeze": (0.25, 0.5, 0.75),
    **{name: () for name in ("fp16", "int8", "int8-fast", "int4")},
    "item-svd": (0.5, 0.75, 0.9),
    "item-pca": (0.5, 0.75, 0.9),
    "item-fp16": (),
    "item-int8": (),
    "item-pq": (50, 25, 10),
}
# Strengths are chosen for these shares of the bytes.
SIZED, RATIOS = ("svd", "prune", "mpo", "squeeze"), (0.75, 0.5, 0.35)
SEVERAL = (
    *("prune:0.75+int8", "svd:0.5+int8", "svd:0.75+int8", "mpo:44+int8", "squeeze:0.5+int8", "ffn:0.5+svd:0.5"),
    *("svd:0.5+int4", "feature-pca:0.5+svd:0.5+int8", "svd:0.5+int8+item-pq:25", "ffn:0.5+int4+item-int8"),
    *("int8+item-int8", "item-pca:0.5+item-int8"),
)
EPOCHS = (0, 5)
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"


def chains() -> list[str]:
    """Return all chains of methods."""
    single = [f"{name}:{strength}" for name, values in STRENGTHS.items() for strength in values]
    return [*single, *(name for name, values in STRENGTHS.items() if not values), *SIZED, *SEVERAL]


def command(checkpoint, output, times: str, settings: dict) -> list[str]:
    """Return the command that makes all variants, or takes their times."""
    options = {
        "checkpoint": checkpoint,
        "output": output,
        "method": ",".join(chains()),
        "finetune_epochs": ",".join(map(str, EPOCHS)),
        "target_ratio": ",".join(map(str, RATIOS)),
        "times": times,
        **settings,
    }
    return [sys.executable, "-m", "recbole_mpo", "compress", *(f"--{key}={value}" for key, value in options.items())]


def make(checkpoint, output, processes=1, threads=2, times=False, **settings) -> int:
    """Run the processes that share the work; return 0 if all variants are there and no process failed."""
    line = command(checkpoint, output, "only" if times else "without", settings)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    # Each would print the whole table; errors are seen.
    quiet = subprocess.DEVNULL
    running = [subprocess.Popen(line, env=environment, stdout=quiet) for _ in range(1 if times else processes)]
    codes = [process.wait() for process in running]
    print(f"exit codes of the processes: {codes}")
    return max(map(abs, codes))


def publish(output: Path, results: Path) -> int:
    """Write the report into ``results/compression`` and the tables into ``results/compression.md``."""
    content = json.loads((output / REPORT).read_text(encoding="utf-8"))
    rows, header = [_short(row) for row in content.pop("rows")], content
    folder = results / "compression"
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder, rows, {key: value for key, value in header.items() if key != "written_by"})
    # The page is made on demand.
    (folder / "report.html").unlink()
    page = results / "compression.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{page} has no {BEGIN} … {END}")
        return 2
    write_lines(page, f"{before}{BEGIN}\n\n{tables(rows, output)}\n{END}{after}".rstrip("\n").splitlines())
    print(f"wrote {page} and {folder}: {len(rows)} rows")
    return 0


def _short(value):
    """Return plain data with numbers of seven digits, which keeps the committed report small."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return float(f"{value:.7g}") if isinstance(value, float) else value


def tables(rows: list[dict], output: Path) -> str:
    """Return the sections with tables.

    Args:
        rows: rows of the report.
        output: folder of the variants, with their ranks.
    """
    whole = next(row for row in rows if row["name"] == "uncompressed")
    plain = [row for row in rows if row.get("ratio") is None]
    single = [row for row in plain if "+" not in row["name"]]
    items = [row for row in single if row["name"].startswith("item-")]
    others = [row for row in single if row not in items]
    several = [row for row in plain if "+" in row["name"]]
    parts = {
        "Without further training": markdown_table([row for row in others if not row["finetune_epochs"]], whole),
        f"With {EPOCHS[-1]} more epochs": _trained([row for row in others if row["finetune_epochs"]], whole, output),
        "At equal bytes": _sized([row for row in rows if row.get("ratio") is not None], whole, output),
        "Item vectors": markdown_table(items, whole) + "\n" + _product(items),
        "Several at once": markdown_table([row for row in several if not row["finetune_epochs"]], whole),
        "Several at once, trained": _trained([row for row in several if row["finetune_epochs"]], whole, output),
    }
    return "\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def _trained(rows: list[dict], whole: dict, output: Path) -> str:
    if not rows:
        return "None.\n"
    said = (
        "The last column compares with the uncompressed model after as many epochs more, with 95 % bootstrap intervals "
        "over users.\n\n"
    )
    head, line, *body = markdown_table(rows, whole).splitlines()
    body = [f"{cells} {_to_trained(row, output)} |" for cells, row in zip(body, rows, strict=True)]
    return said + "\n".join([f"{head} to uncompressed, trained |", f"{line}---|", *body]) + "\n"


def _to_trained(row: dict, output: Path) -> str:
    """Return the difference of NDCG@10 on test to the uncompressed model with the same further training."""
    reference = output / f"uncompressed-trained-{row['finetune_epochs']}"
    gains = [
        rank_gains(np.load(folder / RANKS)["test_rank"], "ndcg", 10) for folder in (output / _folder(row), reference)
    ]
    found = paired_difference(*gains)
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _folder(row: dict) -> str:
    """Return the name of a row's folder; where a ratio chose the strength, the folder has the ratio."""
    name = row["name"]
    if row.get("ratio") is not None:
        (steps,) = parse_variants(name, METHODS)
        name = f"{name_of_chain(step._replace(strength=None) for step in steps)} to {row['ratio']:g}"
    return Variant(name, epochs=row["finetune_epochs"]).folder


def _sized(rows: list[dict], whole: dict, output: Path) -> str:
    said = (
        "Strengths chosen so that the training checkpoint has this share of the uncompressed bytes. With training "
        "`squeeze` ends before, at the last model that was good enough, where quality drops too far:\n\n"
    )
    lines = ["| share | variant | checkpoint | NDCG@10 test | difference | to uncompressed, trained | same top 10 |"]
    lines.append("|---" * 7 + "|")
    for row in sorted(rows, key=lambda row: (-row["ratio"], row["finetune_epochs"])):
        difference = row["difference"]["test"]["ndcg@10"]
        between = f"{difference['mean']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
        count = row["bytes"]["checkpoint"]
        size = f"{count / 1e6:.2f} MB ({count / whole['bytes']['checkpoint']:.2f})"
        trained = _to_trained(row, output) if row["finetune_epochs"] else ""
        cells = [f"{row['ratio']:g}", label({**row, "ratio": None}), size, f"{row['test']['ndcg@10']:.4f}"]
        cells += [between, trained, f"{row['scores']['top10_overlap']:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return said + "\n".join(lines) + "\n"


def _product(rows: list[dict]) -> str:
    said = (
        "Product quantisation stores a byte per piece of an item vector, and a codebook of 256 centres that is the "
        "same for any number of items:\n\n"
    )
    lines = ["| variant | codes, bytes | codebook, bytes | ratio of codes | ratio here | ratio, a million items |"]
    lines.append("|---" * 6 + "|")
    for row in rows:
        if (notes := row["notes"].get("item-pq")) is not None:
            ratios = (notes["ratio_of_codes"], notes["ratio"], notes["ratio_of_a_million_items"])
            cells = [row["name"], f"{notes['codes_bytes']:,}", f"{notes['codebook_bytes']:,}"]
            lines.append(f"| {' | '.join([*cells, *(f'{ratio:.1f}' for ratio in ratios)])} |")
    return said + "\n".join(lines) + "\n"


if __name__ == "__main__":
    given = parse_assignments(sys.argv[1:])
    if results := given.pop("publish", None):
        sys.exit(publish(Path(given["output"]), Path(results)))
    sys.exit(make(**given))
