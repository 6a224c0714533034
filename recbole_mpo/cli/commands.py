"""The table of all commands; the parser and all help are made from it."""

from recbole_mpo.cli.arguments import Command, CommandTable, command, option
from recbole_mpo.cli.data import encode_command, inspect_command, prepare_command
from recbole_mpo.cli.kinds import Number, Text, Whole
from recbole_mpo.cli.releases import (
    adapter_command,
    compress_command,
    export_command,
    merge_command,
    recommend_command,
)
from recbole_mpo.cli.runs import evaluate_command, pretrain_command, run_command
from recbole_mpo.cli.scaling import scaling_command
from recbole_mpo.cli.serving import serve_command
from recbole_mpo.cli.studies import compare_command, report_command, table_command


@command("demo", settings="Any other --key=value is a setting of the run; docs/settings.md lists them.")
@option("--data_path", Text("FOLDER"), "Folder that holds the dataset's folder.", default="dataset")
@option("--checkpoint_dir", Text("FOLDER"), "Folder for the run and its record.json.", default="saved/demo")
# Smaller than the models' defaults, so that the demo takes minutes without a GPU.
@option("--epochs", Whole(), "Maximum number of epochs.", default=10)
@option("--learning_rate", Number(), "Learning rate.", default=0.002)
@option("--hidden_size", Whole(), "Size of the item vectors.", default=128)
@option("--n_exps", Whole(), "Number of experts in the adaptor.", default=4)
def demo_command(settings, **options):
    """Train a small MPORec on ml-100k and show recommendations for one user.

    A finished run with the same settings is reused.
    """
    from recbole_mpo.cli.demo import run_demo

    run_demo({**options, **settings})


@command("doctor")
def doctor_command():
    """Show versions, the device, and what is missing.

    Whatever is missing is shown with the command that installs it. The exit code is 1 if something required is missing.
    """
    from recbole_mpo.cli import doctor

    return doctor.report()


COMMANDS: dict[str, Command] = {
    "run": run_command,
    "pretrain": pretrain_command,
    "evaluate": evaluate_command,
    "recommend": recommend_command,
    "merge": merge_command,
    "export": export_command,
    "adapter": adapter_command,
    "compress": compress_command,
    "serve": serve_command,
    "table": table_command,
    "compare": compare_command,
    "report": report_command,
    "scaling": scaling_command,
    "prepare": prepare_command,
    "encode": encode_command,
    "inspect": inspect_command,
    "demo": demo_command,
    "doctor": doctor_command,
}

PROGRAM = CommandTable(
    "recbole-mpo",
    commands=COMMANDS,
    epilog="Every setting is --key=value; docs/settings.md lists them. "
    "recbole-mpo COMMAND --help lists a command's own options with their defaults.",
)
