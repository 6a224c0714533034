"""What a run says of itself in the log."""

import logging
from pathlib import Path

from recbole_mpo.model.parameters import parameter_table

logger = logging.getLogger(__name__)


def show_run(record: dict):
    """Log what a run is of: data, item text and parameters."""
    data = record["data"]
    logger.info("%s on %s, seed %s (run %s)", record["model"], record["dataset"], record["seed"], record["run_id"])
    logger.info(
        "data: %s users, %s items; targets: %s",
        f"{data['users']:,}",
        f"{data['items']:,}",
        ", ".join(f"{split} {count:,}" for split, count in data["targets"].items()),
    )
    features = record["features"]
    if features:
        logger.info(
            "item text: %s, %d features; %d of %d items have text",
            features["source"],
            features["dimension"],
            features["with_text"],
            features["items"],
        )
    logger.info("parameters:\n%s", parameter_table(record["params"]))


def show_results(record: dict, paths):
    """Log the best metrics of a finished run, and where its record was written."""
    for split in ("valid", "test"):
        if record[split]:
            values = "  ".join(f"{name} {value:.4f}" for name, value in record[split].items())
            logger.info("best %s: %s", split, values)
    best = Path(paths[0]).parent / "best.pth"
    if best.is_file():
        logger.info("checkpoint: %s", best)
    logger.info("record: %s", ", ".join(str(path) for path in paths))
