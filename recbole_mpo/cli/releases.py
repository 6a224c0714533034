"""``merge``, ``export`` and ``recommend``: a dense model, a model folder and recommendations."""

from recbole_mpo.cli.arguments import Command, command, option
from recbole_mpo.cli.kinds import Choice, Text, Whole
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


@command("export", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a model with item vectors.", required=True)
@option("--output", Text("DIR"), "The folder to write.", required=True)
def export_command(checkpoint, output, settings):
    """Write a checkpoint as a model folder, which recommends without a dataset.

    An existing folder is replaced only if export wrote it.
    """
    from recbole_mpo.release.export import export_checkpoint

    export_checkpoint(checkpoint, output, settings)
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
@option("--checkpoint", Text("FILE"), "Checkpoint of a text model.")
@option("--model_folder", Text("DIR"), "Instead: a folder of export, or the name of one on the Hugging Face hub.")
@option("--items", Text("TOKEN,TOKEN"), "One history: item tokens, oldest first.")
@option("--item", Text("TOKEN"), "Instead, once per item: a token as written, which may hold blanks and commas.")
@option("--histories", Text("FILE"), "Instead: lines of tokens; JSON lines (.jsonl); user_id and item_id (.csv, .tsv).")
@option("--topk", Whole(least=1), "Recommendations per history.", default=10)
@option("--format", Choice("text", "json", "csv"), "Form; json prints one object per history.", default="text")
def recommend_command(checkpoint, model_folder, items, item, histories, topk, format, settings):
    """Print recommended items for histories of item tokens."""
    if (checkpoint is None) == (model_folder is None):
        raise ConfigError("recommend needs either --checkpoint=FILE or --model_folder=DIR")
    if model_folder is not None and settings:
        raise ConfigError(f"{min(settings)} is a setting for --checkpoint; a model folder has its own settings")
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
    if model_folder is not None:
        recommender = Recommender.from_pretrained(model_folder)
    else:
        recommender = Recommender.from_checkpoint(checkpoint, settings)
    print(answers.format_answers(recommender, asked, topk, format), end="")
