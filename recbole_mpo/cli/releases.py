"""``merge``, ``adapter``, ``export``, ``recommend`` and ``compress``: what can be made of a checkpoint."""

import click

from recbole_mpo.cli.arguments import Command, command, option
from recbole_mpo.cli.kinds import Choice, Number, Numbers, Text, Whole, WholeNumbers
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


@command("adapter")
@option("--base", Text("FILE"), "Checkpoint that the run started from (pretrained).", required=True)
@option("--output", Text("FILE"), "Where to write the adapter, or the checkpoint.", required=True)
@option("--checkpoint", Text("FILE"), "Checkpoint to take the adapter of.")
@option("--adapter", Text("FILE"), "Instead: adapter to put back on the base.")
@option(
    "--frozen", Choice("rebuilt", "stored"), "Frozen MPO cores: decompose the base again, or store.", default="rebuilt"
)
@option("--report", Text("FILE"), "Also write the sizes as JSON.")
def adapter_command(base, output, checkpoint, adapter, frozen, report):
    """Store what a checkpoint has beyond its base, or put it back.

    With --adapter the output is the checkpoint again, bit for bit, but for the state of its optimizer. An existing file
    is replaced only if this command wrote it.
    """
    if (checkpoint is None) == (adapter is None):
        raise ConfigError(
            "adapter needs either --checkpoint=FILE, to take an adapter, or --adapter=FILE, to put it back"
        )
    if adapter is not None and (report is not None or frozen != "rebuilt"):
        raise ConfigError("--report and --frozen are for taking an adapter, with --checkpoint=FILE")
    from recbole_mpo.common.files import write_json
    from recbole_mpo.release import adapter_checkpoints

    if adapter is not None:
        adapter_checkpoints.put_back(adapter, base, output)
    else:
        sizes = adapter_checkpoints.take_adapter(checkpoint, base, output, frozen)
        print(sizes.as_text())
        if report is not None:
            write_json(report, sizes.as_object())
    print(f"wrote {output}")


@command("export", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of a model with item vectors.", required=True)
@option("--output", Text("DIR"), "The folder to write.", required=True)
@option(
    "--format", Choice("folder", "onnx"), "A model folder; onnx: graphs for programs without torch.", default="folder"
)
def export_command(checkpoint, output, format, settings):
    """Write a checkpoint as a model folder, which recommends without a dataset.

    An existing folder is replaced only if export wrote it.
    """
    if format == "onnx":
        from recbole_mpo.release.onnx_export import export_onnx

        export_onnx(checkpoint, output, settings)
    else:
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
@option(
    "--topk_by", Choice("float32", "int8", "index"), "How to find the best; index may miss some.", default="float32"
)
@option("--index_file", Text("FILE"), "File of the index, for --topk_by=index; made where it is missing.")
def recommend_command(checkpoint, model_folder, items, item, histories, topk, format, topk_by, index_file, settings):
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
        recommender = Recommender.from_pretrained(model_folder, topk_by=topk_by, index_file=index_file)
    else:
        recommender = Recommender.from_checkpoint(checkpoint, settings, topk_by, index_file)
    if (recall := recommender.index_recall()) is not None:
        click.echo(f"the index finds {recall:.1%} of the best ten (histories of one item each)", err=True)
    print(answers.format_answers(recommender, asked, topk, format), end="")


@command("compress", settings=SETTINGS_OF_CHECKPOINT)
@option("--checkpoint", Text("FILE"), "Checkpoint of UniSRec, MPORec or LoRA.", required=True)
@option("--method", Text("NAME:STRENGTH"), "Methods, such as prune:0.5,svd:0.5+int8; + joins them.", required=True)
@option("--output", Text("FOLDER"), "Folder for the compressed models and their report.", required=True)
@option("--finetune_epochs", WholeNumbers("N,N"), "Epochs of training after it; 0,5 reports both.", default="0")
@option("--l1", Number(), "Factor of the L1 norm of the matrices in that training.", default=0.0)
@option("--target_ratio", Numbers("NUMBER,NUMBER", True), "Bytes left, as a share: chooses strengths left out.")
@option("--largest_drop", Number(), "Share of NDCG@10 on valid that squeeze may lose.", default=0.05)
@option("--times", Choice("with", "without", "only"), "Take times; only: those of finished variants.", default="with")
def compress_command(checkpoint, output, settings, **options):
    """Write smaller models of a checkpoint and report their size, speed and quality.

    Finished variants in the folder are not computed again, and several processes may share the work. With
    --use_gpu=true further training is on a GPU.
    """
    from recbole_mpo.release.compress import Options, compress_checkpoint
    from recbole_mpo.release.compress.variant_report import markdown_table

    # One number is read as one.
    options["target_ratio"] = options["target_ratio"] or []
    rows = compress_checkpoint(checkpoint, output, Options(**options), settings)
    print(markdown_table(rows), end="")
    print(f"wrote {output}")
