"""``table``, ``compare`` and ``report``: many runs side by side."""

from pathlib import Path

import click

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.experiment_files import EXPERIMENT
from recbole_mpo.cli.kinds import Choice, Number, Text, Truth, Whole, WholeNumbers, Words


@command("table")
@click.argument("records", nargs=-1, metavar="RECORD ...")
@option("--format", Choice("markdown", "text", "csv"), "Use text in a terminal; csv is unrounded.", default="markdown")
@option("--metrics", Words("NAME,NAME"), "Metrics to show.", default="hit@10,hit@50,ndcg@10,ndcg@50")
@option("--mix", Truth(), "Allow records that are not comparable.", default=False)
@option("--published", Truth(), "Add the MPORec paper's figures for the same model and dataset.", default=False)
@option("--reference", Text("RUN"), "Show each other run's paired differences over users from this one.")
@option("--by", Choice("history_length", "popularity"), "Show test metrics by groups of users.")
def table_command(records, format, metrics, mix, published, reference, by):
    """Compare runs, one row per record, or per group of test users and record.

    RECORD is a record.json or a run's folder. Users are grouped by the length of their history, or by how often their
    target occurs in training.
    """
    from recbole_mpo.study.table import make_table

    choices = {"metrics": metrics, "mix": mix, "published": published, "reference": reference, "by": by}
    print(make_table(records, form=format, **choices), end="")


@command("compare", settings="Any other --key=value is a setting of all runs; docs/settings.md lists them.")
@click.argument(EXPERIMENT, nargs=-1, metavar="FILE")
@option("--dataset", Words("NAME,NAME"), "The datasets, each with a report of its own.", required=True)
@option("--seeds", WholeNumbers(), "The seed of each run, or several.", default="2020")
@option("--reference", Text("NAME"), "The run that the others are compared with; the first by default.")
@option("--title", Text("TEXT"), "Title of the report.", default="Comparison")
@option("--output", Text("FOLDER"), "Folder of the runs and the report; saved/NAME of FILE by default.")
@option("--reuse", Words("FOLDER,FOLDER"), "Folders with records of runs that are done.", default="results")
@option("--jobs", Whole(least=1), "How many runs there are at a time.", default=1)
@option("--max_hours", Number(), "Stop after this time; the same command goes on.")
@option("--dry_run", Truth(), "List the runs and how long they may take, and stop.", default=False)
def compare_command(experiment, dataset, seeds, title, output, reuse, dry_run, settings, **choices):
    """Run an experiment file and report all its runs side by side.

    FILE is YAML that begins with command: compare; its runs map names to settings. Runs that are done are not done
    again; give the same command again to go on. The exit code is 1 if a run failed.
    """
    from recbole_mpo.study.compare import Comparison, compare

    path, content = experiment
    comparison = Comparison(
        title=title,
        rows=content,
        datasets=tuple(dataset),
        seeds=tuple(seeds),
        output=Path(output or Path("saved", Path(path).stem)),
        reuse=tuple(map(Path, reuse)),
        **choices,
    )
    failed = compare(comparison, settings, dry_run)
    for run in failed:
        print(f"failed: {run}")
    return 1 if failed else 0


@command("report")
@click.argument("folders", nargs=-1, metavar="FOLDER ...", required=True)
@option("--wilcoxon", Truth(), "Add Wilcoxon's test, which compares other things than means.", default=False)
def report_command(folders, wilcoxon):
    """Write reports again from the records that they name; no dataset is needed.

    FOLDER is that of a comparison, with its runs.json. If a report cannot be written, the others are, and the exit code
    is 1.
    """
    from recbole_mpo.common.errors import RecboleMPOError
    from recbole_mpo.study.report_source import ReportSource

    failed = False
    for folder in folders:
        try:
            files = ReportSource.read(folder).write_report(folder, wilcoxon)
        except RecboleMPOError as problem:
            print(f"no report in {folder}: {problem}")
            failed = True
        else:
            print(f"report: {next(file for file in files if file.suffix == '.html')}")
    return int(failed)
