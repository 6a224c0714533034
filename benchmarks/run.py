"""Runs every benchmark, each in a process of its own, and writes ``results.json`` and ``RESULTS.md``.

    python benchmarks/run.py [--only=train_step,evaluation] [--folder=benchmarks]

``--only`` measures some of them anew and keeps the others' results. ``time_to_quality``, which trains for an hour or
more, runs only if it is named there. A benchmark that cannot run here (no data, no peer environment) is named as such;
one that fails stops the run, and nothing written before is lost.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from recbole_mpo.common.values import parse_assignments

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
PEER = HERE / "peers" / ".venv" / "bin" / "python"
WITH_PEER = ("peer", "time_to_quality")
ON_REAL_DATA = ("train_step", "mpo_step", "evaluation", *WITH_PEER, "recbole_models")
BENCHMARKS = (*ON_REAL_DATA, "epoch_time", "million_items", "serving", "loading", "preparing")
ONLY_NAMED = ("time_to_quality",)


def why_not(name: str) -> str | None:
    """Return the reason for which a benchmark cannot run here."""
    if name in ON_REAL_DATA and not (DATA / "Scientific").is_dir():
        return "the Scientific dataset is not at ../shared/data"
    if name in WITH_PEER and not PEER.is_file():
        return "no environment benchmarks/peers/.venv (benchmarks/peers/README.md)"
    return None


def run(name: str) -> dict:
    """One benchmark's result, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        subprocess.run([sys.executable, HERE / f"{name}.py", f"--output={output}"], check=True, cwd=HERE.parent)
        return json.loads(output.read_text(encoding="utf-8"))


def keyed(found: dict) -> dict:
    """Return the figures by their stable keys; those of benchmarks that did not run are absent."""
    keys = {}
    for name, names in {
        "train_step": ("packed_vs_pairwise", "packed_vs_published", "matmul_share"),
        "mpo_step": ("mpo_vs_dense", "light_vs_dense"),
        "evaluation": ("eval_vs_published",),
        "peer": ("rectools",),
        "time_to_quality": ("seconds_to_quality",),
        "epoch_time": ("seconds_per_epoch",),
    }.items():
        if "skipped" not in found.get(name, {"skipped": ""}):
            keys.update({key: found[name][key] for key in names})
    million = found.get("million_items", {})
    if "chunked" in million:
        keys["million_items"] = {
            "train_peak_mb": {loss: million[loss]["peak_mb"] for loss in ("chunked", "sampled")},
            "eval_peak_mb": million["evaluate"]["peak_mb"],
        }
    if "exact" in found.get("serving", {}):
        exact = found["serving"]["exact"]
        keys["float32_over_int8"] = min(result["float32_over_int8"] for result in exact.values())
    return keys


def table(found: dict) -> list[tuple[str, str, str]]:
    """(what, target, found) of every figure that has a target."""
    keys = keyed(found)
    rows = [
        ("training targets per second, packed over pairwise", ">= 15", "packed_vs_pairwise", "{:.1f}"),
        ("the same over the published form", ">= 60", "packed_vs_published", "{:.1f}"),
        ("the same over RecTools' UniSRec", ">= 8", "rectools", "{:.1f}"),
        ("share of the matmul rate reached by a training step", ">= 60 %", "matmul_share", "{:.0%}"),
        ("MPORec's step over dense, 384 features", "<= 1.05", "mpo_vs_dense", "{:.3f}"),
        ("MPORecLight's step over dense, 384 features", "<= 1.05", "light_vs_dense", "{:.3f}"),
        ("users per second, evaluation over the published form", ">= 20", "eval_vs_published", "{:.1f}"),
        ("the best ten of a million items, float32 over int8", ">= 3", "float32_over_int8", "{:.1f}"),
    ]
    lines = [(what, target, form.format(keys[key])) for what, target, key, form in rows if key in keys]
    if "packed_vs_published" in keys:
        text = f"{found['train_step']['packed_vs_published_as_run']:.1f}"
        lines.append(("the same over the published form as its users run it (README.md)", "", text))
    if "mpo_vs_dense" in keys:
        wide = found["mpo_step"]["wide"]
        text = f"{wide['mpo_vs_dense']:.3f}, {wide['light_vs_dense']:.3f}"
        lines.append(("MPORec and MPORecLight over dense, 768 features", "", text))
    if "million_items" in keys:
        peaks = keys["million_items"]
        for loss, peak in peaks["train_peak_mb"].items():
            text = f"{peak:,.0f} MB, {found['million_items'][loss]['seconds']:.1f} s"
            lines.append((f"a million items of 768 features: a training step, loss {loss}", "<= 12,288 MB", text))
        text = f"{peaks['eval_peak_mb']:,.0f} MB, {found['million_items']['evaluate']['seconds']:.0f} s"
        lines.append(("a million items of 768 features: 10,000 users ranked", "<= 12,288 MB", text))
    evidence = found.get("evidence_tables", {})
    for kind in ("covisit", "two_hop", "words"):
        if kind in evidence:
            text = f"{evidence[kind]['seconds']:.0f} s, {evidence[kind]['peak_mb']:,.0f} MB"
            lines.append((f"table of {kind} for {evidence[kind]['rows'] - 1:,} items", "", text))
    if "seconds_to_quality" in keys:
        lines += quality_lines(found["time_to_quality"])
    if "seconds_per_epoch" in keys:
        text = ", ".join(f"{seconds:.3g}" for seconds in keys["seconds_per_epoch"].values())
        lines.append(("seconds per epoch at 1e4, 1e5, 1e6 interactions", "", text))
        ratio = f"{found['epoch_time']['largest_over_smallest']:.2f}"
        lines.append(("largest over smallest seconds per target among them", "<= 1.15", ratio))
    for model, result in found.get("recbole_models", {}).get("models", {}).items():
        text = f"{result['training']['ratio']:.1f}, {result['scoring']['ratio']:.1f}"
        lines.append((f"RecBole's {model}, trimmed over padded batches: training, scoring", "", text))
    if "exact" in found.get("serving", {}):
        lines += serving_lines(found["serving"])
    if "peak_gigabytes" in found.get("loading", {}):
        text = f"{found['loading']['seconds']:.0f} s, {found['loading']['peak_gigabytes']:.2f} GB"
        lines.append(("10 million interactions loaded", "<= 60 s, <= 3 GB", text))
    for name in ("Games", "Games-2023") if "Games" in found.get("preparing", {}) else ():
        result = found["preparing"][name]
        text = f"{result['seconds']:.0f} s, {result['peak_gigabytes']:.2f} GB"
        lines.append((f"5 million reviews with metadata prepared, form of {name}", "<= 600 s, <= 4 GB", text))
    return lines


def serving_lines(result: dict) -> list[tuple[str, str, str]]:
    """(what, target, found) of the milliseconds of one history, and of the recall of an index."""
    lines = []
    for kind, ways in result["exact"].items():
        what = f"the best {result['topk']} of {result['items']:,} {kind} items: p50, p95"
        for name in ("all_scores", "float32", "int8"):
            text = f"{ways[name]['p50_ms']:.0f} ms, {ways[name]['p95_ms']:.0f} ms"
            lines.append((f"{what}, {name.replace('_', ' ')}", "", text))
        lines.append((f"{what}, int8 equal to float32", "all", f"{ways['equal']} of {ways['checked']}"))
    for kind, index in result["index"].items():
        what = f"an index of {index['items']:,} {kind} items: p50, p95, recall@10, seconds to build"
        text = f"{index['p50_ms']:.1f} ms, {index['p95_ms']:.1f} ms, {index['recall@10']:.3f}"
        built = "" if index["build_seconds"] is None else f", {index['build_seconds']:.0f} s"
        lines.append((what, "<= 10 ms", f"{text}{built}"))
    return lines


def quality_lines(result: dict) -> list[tuple[str, str, str]]:
    """(what, target, found) of the seconds to a quality, or of the best that there was."""
    what = f"seconds of training to valid NDCG@10 {result['quality']:.3f} on {result['dataset']}"
    lines = []
    for side, name in (("ours", result["model"]), ("rectools", "RecTools' UniSRec")):
        epoch, last = result["sides"][side]["reached"], result["sides"][side]["curve"][-1]
        best = result["sides"][side]["best"]
        text = f"not in {last['train_seconds']:,.0f}; best {best['ndcg@10']:.4f} after {best['train_seconds']:,.0f}"
        if epoch:
            text = f"{epoch['train_seconds']:,.0f} (with validation {epoch['wall_seconds']:,.0f})"
        lines.append((f"{what}: {name}", "", text))
    if result["rectools_over_ours"]:
        at_least = "at least " if result["is_lower_bound"] else ""
        lines.append(("the same, RecTools' over ours", "", f"{at_least}{result['rectools_over_ours']:.1f}"))
    return lines


def report(found: dict) -> str:
    """RESULTS.md."""
    lines = ["# Benchmark results", "", "Written by `make bench`; raw samples are in [results.json](results.json).", ""]
    lines += ["| what | target | found |", "|---|---|---|"]
    lines += [f"| {what} | {target} | {value} |" for what, target, value in table(found)]
    lines += [f"| {name} | | not run: {result['skipped']} |" for name, result in found.items() if "skipped" in result]
    machines = [result["device"] for result in found.values() if "device" in result]
    devices = sorted({f"{machine['name']}, {machine['threads']} threads" for machine in machines})
    commits = {name: _revision(result["git"]) for name, result in found.items() if "git" in result}
    lines += ["", f"Machine: {'; '.join(devices)}.", ""]
    lines += ["Measured at " + ", ".join(f"{commit} ({name})" for name, commit in commits.items()) + ".", ""]
    return "\n".join(lines)


def _revision(git: dict) -> str:
    return f"{str(git['commit'])[:10]}{' with uncommitted changes' if git['dirty'] else ''}"


def write(folder: Path, found: dict):
    """Both files, each at once or not at all."""
    results = json.dumps({**keyed(found), "benchmarks": found}, indent=1) + "\n"
    for name, text in (("results.json", results), ("RESULTS.md", report(found))):
        temporary = folder / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / name)


def main(arguments: list[str]) -> int:
    """Measures and writes after each benchmark."""
    options = parse_assignments(arguments)
    only, folder = options.pop("only", None), Path(options.pop("folder", HERE))
    usual = [name for name in BENCHMARKS if name not in ONLY_NAMED]
    chosen = usual if only is None else [only] if isinstance(only, str) else only
    unknown = sorted(set(chosen) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    former = folder / "results.json"
    found = json.loads(former.read_text(encoding="utf-8"))["benchmarks"] if former.is_file() else {}
    for name in chosen:
        reason = why_not(name)
        print(f"{name}: {'not run, ' + reason if reason else 'running'}", flush=True)
        found[name] = {"skipped": reason} if reason else run(name)
        write(folder, {key: found[key] for key in BENCHMARKS if key in found})
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
