"""``scaling``: a grid of runs over data, width and depth, laws fitted to them, and a report."""

from pathlib import Path

import click

from recbole_mpo.cli.arguments import command, given_options, option
from recbole_mpo.cli.experiment_files import read_experiment
from recbole_mpo.cli.kinds import Number, Text, Whole
from recbole_mpo.common.errors import ConfigError

STEPS = ("plan", "run", "fit", "report")
# Options of one step alone.
OF_RUN = ("shard", "jobs", "max_hours")


@command("scaling", settings="Any other --key=value is a setting of all runs; docs/settings.md lists them.")
@click.argument("words", nargs=-1, metavar="plan|run|fit|report FILE")
@option("--output", Text("FOLDER"), "Folder of the runs and the report; saved/NAME of FILE by default.")
@option("--shard", Text("I/N"), "Do every N-th run from the I-th on, beside processes with the other parts.")
@option("--jobs", Whole(least=1), "How many runs there are at a time.", default=1)
@option("--max_hours", Number(), "Stop after this time; the same command goes on.")
def scaling_command(words, output, settings, **choices):
    """Study how loss and metrics follow from data, width, depth and compute.

    FILE is YAML that begins with command: scaling. plan lists the runs with their sizes; run does those that are
    missing; fit fits laws, and predicts the runs that the plan holds back; report writes tables and figures. The exit
    code is 1 if a run failed or was left over, unless it waits for its prediction.
    """
    if len(words) != 2 or words[0] not in STEPS:
        raise ConfigError(f"scaling takes a step and a plan: recbole-mpo scaling {'|'.join(STEPS)} FILE")
    step, path = words
    idle = [given.key for given in given_options(click.get_current_context()) if given.key in OF_RUN and step != "run"]
    if idle:
        raise ConfigError(f"{idle[0]} is for scaling run, and has no effect on {step}")
    path, content, _ = read_experiment([path], "scaling", ())
    from recbole_mpo.study.scaling import steps

    study = steps.Study.of(content, output or Path("saved", Path(path).stem), settings)
    if step == "run":
        undone = study.run(**choices)
        for line in undone:
            print(f"not done: {line}")
        return 1 if undone else 0
    {"plan": study.plan, "fit": study.fit, "report": study.report}[step]()
    return 0
