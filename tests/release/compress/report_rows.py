"""Rows of a report, made up."""


def row(name, epochs=0, bytes=1000, milliseconds=2.0, quality=0.05):
    difference = {"mean": quality - 0.05, "low": quality - 0.06, "high": quality - 0.04, "p_value": 0.5}
    metrics = {"ndcg@10": quality, "hit@10": 2 * quality}
    return {
        "name": name,
        "finetune_epochs": epochs,
        "seconds": {"compress": 1.0, "train": 0.0},
        "bytes": {
            "checkpoint": bytes, "serving_features": 2 * bytes, "serving_items": 3 * bytes, "items": bytes, "files": {}
        },
        "params": {"total": 10, "nonzero": 9},
        "load_seconds": 0.1,
        "latency_ms": {f"batch_{size}": {"p50": 9.0, "p95": 9.9, "busy_p50": milliseconds} for size in (1, 256)},
        "valid": metrics,
        "test": metrics,
        "difference": {"valid": {"ndcg@10": difference}, "test": {"ndcg@10": difference}},
        "scores": {"top10_overlap": 0.975, "largest_difference": 0.1},
        "layer_errors": {"a": 0.25, "b": 0.5},
        "notes": {},
    }  # fmt: skip


ROWS = [row("uncompressed"), row("svd:0.5", 5, 500, 1.0, 0.06), row("=prune:0.5", 0, 700, 3.0, 0.04)]
HEADER = {"checkpoint": {"model": "MPORec", "dataset": "tiny", "sha256": "0"}}
