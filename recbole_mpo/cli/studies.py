"""``table``: many runs side by side."""

import click

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Choice, Text, Truth, Words


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
