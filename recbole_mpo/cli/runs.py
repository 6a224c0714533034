"""``run`` and ``evaluate``: one recorded run, and the metrics of its checkpoint."""

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Text, Truth, Words

# Also of the commands in releases.
SETTINGS_OF_CHECKPOINT = (
    "Any other --key=value is a setting and replaces the checkpoint's, --data_path=FOLDER for instance; "
    "docs/settings.md lists them."
)


@command("run", settings="Any other --key=value is a setting, RecBole's or our own; docs/settings.md lists them.")
@option("--model", Text("NAME"), "The model, in any capitalisation; docs/models.md lists them.", required=True)
@option("--dataset", Text("NAME"), "The dataset; a known one that is absent is prepared first.", required=True)
@option("--config_files", Words("FILE,FILE"), "YAML files with settings; later files win.", default=())
@option("--dry_run", Truth(), "Build everything, show parameters and data, record it, and stop.", default=False)
@option("--resume", Text("PATH|auto"), "Go on with a run: its folder, its last.pth, or the newest unfinished one.")
@option("--record", Text("PATH"), "Write the run's record here too.")
def run_command(model, dataset, config_files, dry_run, resume, record, settings):
    """Train and evaluate a model on a dataset, and record the run."""
    from recbole_mpo.quick_start.recorded_run import run

    run(model, dataset, config_files, settings, dry_run=dry_run, resume=resume, record_path=record)


@command("evaluate", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "A run's checkpoint.", required=True)
def evaluate_command(checkpoint, settings):
    """Rank a checkpoint's targets anew and print the metrics."""
    from recbole_mpo.quick_start.evaluate import evaluate_checkpoint

    for split, metrics in evaluate_checkpoint(checkpoint, settings).items():
        print(f"{split}: " + "  ".join(f"{name} {value:.6f}" for name, value in metrics.items()))
