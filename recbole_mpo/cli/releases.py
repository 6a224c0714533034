"""``merge``, ``recommend``, ``compress``: a dense model, recommendations and smaller models of a checkpoint."""

from recbole_mpo.cli.arguments import Command, command, option
from recbole_mpo.cli.kinds import Choice, Number, Text, Whole, WholeNumbers
from recbole_mpo.cli.runs import SETTINGS_OF_CHECKPOINT
from recbole_mpo.common.errors import ConfigError


@command("merge", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a model with MPO or LoRA layers.", required=True)
@option("--output", Text("FILE"), "Where to write the dense checkpoint.", required=True)
@option("--layout", Choice("own", "unisrec"), "Whose form; unisrec: UniSRec's published code.", default="own")
def merge_command(checkpoint, output, layout, settings):
    """Write an MPO or LoRA checkpoint as the equivalent dense UniSRec.

    An existing file is replaced only if merge wrote it.
    """
    from recbole_mpo.release.merge import merge_checkpoint

    merge_checkpoint(checkpoint, output, settings, layout)
    print(f"wrote {output}")


class _RepeatsItem(Command):
    """The command with an option that may be given several times; of all others the second must agree."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Read the arguments into the context."""
        given = [argument for argument in args if argument.startswith("--item=")]
        rest = super().parse_args(ctx, [argument for argument in args if argument not in given])
        ctx.params["item"] = [argument.removeprefix("--item=") for argument in given]
        return rest


@command("recommend", cls=_RepeatsItem, settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a text model.", required=True)
@option("--items", Text("TOKEN,TOKEN"), "One history: item tokens, oldest first.")
@option("--item", Text("TOKEN"), "Instead, once per item: a token as written, which may hold blanks and commas.")
@option("--histories", Text("FILE"), "Instead: lines of tokens; JSON lines (.jsonl); user_id and item_id (.csv, .tsv).")
@option("--topk", Whole(least=1), "Recommendations per history.", default=10)
@option("--format", Choice("text", "json", "csv"), "Form; json prints one object per history.", default="text")
def recommend_command(checkpoint, items, item, histories, topk, format, settings):
    """Print recommended items for histories of item tokens."""
    if sum(map(bool, (items is not None, item, histories is not None))) != 1:
        raise ConfigError(
            "recommend needs either --items=token,token or --histories=FILE, or --item=TOKEN once per item"
        )
    from recbole_mpo.release import answers
    from recbole_mpo.release.history_files import History, read_histories
    from recbole_mpo.release.recommend import Recommender

    if histories is not None:
        asked = read_histories(histories)
    else:
        asked = [History("1", item or [token.strip() for token in items.split(",") if token.strip()])]
    recommender = Recommender.from_checkpoint(checkpoint, settings)
    print(answers.format_answers(recommender, asked, topk, format), end="")


@command("compress", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of UniSRec, MPORec or LoRA.", required=True)
@option("--method", Text("NAME:STRENGTH"), "Methods, such as prune:0.5,svd:0.5+int8; + joins them.", required=True)
@option("--output", Text("FOLDER"), "Folder for the compressed models and their report.", required=True)
@option("--finetune_epochs", WholeNumbers("N,N"), "Epochs of training after it; 0,5 reports both.", default="0")
@option("--l1", Number(), "Factor of the L1 norm of the matrices in that training.", default=0.0)
@option("--target_ratio", Number(), "Chooses a strength that a method leaves out: bytes left, as a share.")
@option("--largest_drop", Number(), "Share of NDCG@10 on valid that squeeze may lose.", default=0.05)
def compress_command(checkpoint, output, settings, **options):
    """Write smaller models of a checkpoint and report their size, speed and quality.

    Finished variants in the folder are not computed again.
    """
    from recbole_mpo.release.compress import Options, compress_checkpoint
    from recbole_mpo.release.compress.variant_report import markdown_table

    rows = compress_checkpoint(checkpoint, output, Options(**options), settings)
    print(markdown_table(rows), end="")
    print(f"wrote {output}")
