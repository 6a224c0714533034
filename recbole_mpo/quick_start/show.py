"""What a run says of itself in the log."""




from logging import getLogger

from recbole_mpo.model.parameters import parameter_table


def _show(record: dict):
    log, data = getLogger(), record["data"]
    log.info("%s on %s, seed %s (run %s)", record["model"], record["dataset"], record["seed"], record["run_id"])
    log.info(
        "data: %s users, %s items; targets: %s",
        f"{data['users']:,}",
        f"{data['items']:,}",
        ", ".join(f"{split} {count:,}" for split, count in data["targets"].items()),
    )
    features = record["features"]
    if features:
        log.info(
            "item text: %s, %d features; %d of %d items have text",
            features["source"],
            features["dimension"],
            features["with_text"],
            features["items"],
        )
    log.info("parameters:\n%s", parameter_table(record["params"]))


def _show_results(record: dict, paths):
    log = getLogger()
    for split in ("valid", "test"):
        if record[split]:
            values = "  ".join(f"{name} {value:.4f}" for name, value in record[split].items())
            log.info("best %s: %s", split, values)
    log.info("record: %s", ", ".join(str(path) for path in paths))
