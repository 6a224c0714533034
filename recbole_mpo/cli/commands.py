"""The one table of commands, from which the parser and all help come."""

from recbole_mpo.cli.arguments import Command, CommandTable, command, option
from recbole_mpo.cli.data import inspect_command, prepare_command
from recbole_mpo.cli.kinds import Number, Text, Whole
from recbole_mpo.cli.releases import merge_command, recommend_command
from recbole_mpo.cli.runs import evaluate_command, run_command
from recbole_mpo.cli.studies import table_command


@command("demo", settings="Any other --key=value is a setting of the run; docs/settings.md lists them.")
@option("--data_path", Text("FOLDER"), "Folder that holds the datasets' folders.", default="dataset")
@option("--checkpoint_dir", Text("FOLDER"), "Folder of the run, and of its record.json.", default="saved/demo")
# Smaller than the models' own, so that the whole takes minutes without a GPU.
@option("--epochs", Whole(), "At most this many.", default=10)
@option("--learning_rate", Number(), "Learning rate.", default=0.002)
@option("--hidden_size", Whole(), "Size of the item vectors.", default=128)
@option("--n_exps", Whole(), "Experts of the adaptor.", default=4)
def demo_command(settings, **options):
    """Go from ml-100k to a trained MPORec and one user's recommendations.

    A finished run of the same settings is used again.
    """
    from recbole_mpo.cli.demo import run_demo

    run_demo({**options, **settings})


@command("doctor")
def doctor_command():
    """Name versions, the device, and what is missing.

    Beside what is missing stands the command that brings it. The exit code is 1 where something required is missing.
    """
    from recbole_mpo.cli import doctor

    return doctor.report()


COMMANDS: dict[str, Command] = {
    "run": run_command,
    "evaluate": evaluate_command,
    "recommend": recommend_command,
    "merge": merge_command,
    "table": table_command,
    "prepare": prepare_command,
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
