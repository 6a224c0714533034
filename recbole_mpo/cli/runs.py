"""``run`` and ``evaluate``: one recorded run, and the metrics of its checkpoint."""

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Text, Truth, Words

# Also used by the commands in releases.
SETTINGS_OF_CHECKPOINT = (
    "Any other --key=value is a setting that replaces the checkpoint's, for example --data_path=FOLDER; "
    "docs/settings.md lists them."
)


@command("run", settings="Any other --key=value is a setting; docs/settings.md lists them.")
@option("--model", Text("NAME"), "The model, in any capitalisation; docs/models.md lists them.", required=True)
@option("--dataset", Text("NAME"), "The dataset; a known one is prepared first if it is missing.", required=True)
@option("--config_files", Words("FILE,FILE"), "YAML files with settings; later files win.", default=())
@option("--dry_run", Truth(), "Build everything, show parameters and data, write the record, stop.", default=False)
@option("--resume", Text("PATH|auto"), "Continue a run: its folder or its last.pth; auto: the newest unfinished run.")
@option("--record", Text("PATH"), "Also write the run's record here.")
def run_command(model, dataset, config_files, dry_run, resume, record, settings):
    """Train and evaluate a model on a dataset, and record the run."""
    from recbole_mpo.quick_start.recorded_run import run

    run(model, dataset, config_files, settings, dry_run=dry_run, resume=resume, record_path=record)


@command("pretrain", settings="Any other --key=value is a setting; docs/settings.md lists them.")
@option("--domains", Words("NAME,NAME"), "The datasets; known ones are prepared if they are missing.", required=True)
@option("--model", Text("NAME"), "The model, such as UniSRec or MPORec.", default="UniSRec")
@option("--output", Text("FILE"), "The file of pre-trained weights to write.", required=True)
@option("--config_files", Words("FILE,FILE"), "YAML files with settings; later files win.", default=())
@option("--dry_run", Truth(), "Build everything, show parameters and data, write the record, stop.", default=False)
@option("--resume", Text("PATH|auto"), "Continue a run: its folder or its last.pth; auto: the newest unfinished run.")
@option("--record", Text("PATH"), "Also write the run's record here.")
def pretrain_command(domains, model, output, config_files, dry_run, resume, record, settings):
    """Pre-train a model on several datasets, for --pretrained=FILE of later runs."""
    from recbole_mpo.quick_start.pretrain import pretrain

    pretrain(model, domains, output, config_files, settings, dry_run=dry_run, resume=resume, record_path=record)


@command("evaluate", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a run.", required=True)
def evaluate_command(checkpoint, settings):
    """Evaluate a checkpoint again and print the metrics."""
    from recbole_mpo.quick_start.evaluate import evaluate_checkpoint

    for split, metrics in evaluate_checkpoint(checkpoint, settings).items():
        print(f"{split}: " + "  ".join(f"{name} {value:.6f}" for name, value in metrics.items()))
