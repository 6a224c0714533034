"""``table``: many runs side by side."""

import click

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Choice, Truth, Words


@command("table")
@click.argument("records", nargs=-1, metavar="RECORD ...")
@option("--format", Choice("markdown", "csv"), "Form of the table; csv does not round.", default="markdown")
@option("--metrics", Words("NAME,NAME"), "Metrics shown.", default="hit@10,hit@50,ndcg@10,ndcg@50")
@option("--mix", Truth(), "Allow records that are not comparable.", default=False)
@option("--published", Truth(), "Add the MPORec paper's figures of the same model and dataset.", default=False)
def table_command(records, format, metrics, mix, published):
    """Compare runs, one row per record.

    RECORD is a record.json or the folder of a run.
    """
    from recbole_mpo.study.table import make_table

    print(make_table(records, form=format, metrics=metrics, mix=mix, published=published), end="")
