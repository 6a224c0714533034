"""``merge``, ``recommend`` and ``serve``: a dense model and recommendations from a checkpoint, once or over HTTP."""

from dataclasses import replace
from pathlib import Path

import click

from recbole_mpo.cli.arguments import Command, command, option
from recbole_mpo.cli.kinds import Choice, Number, Text, Whole
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


@command("serve")
@click.argument("folders", nargs=-1, metavar="DIR ...")
@option("--host", Text("ADDRESS"), "Where to listen; 0.0.0.0 is every network.", default="127.0.0.1")
@option("--port", Whole(), "Port; 0 takes a free one.", default=8000)
@option("--api_key", Text("TEXT"), "Key of all requests; RECBOLE_MPO_API_KEY by default, which others cannot list.")
@option("--state_dir", Text("FOLDER"), "Folder for items that are added; beside the models' folders by default.")
@option("--threads", Whole(least=1), "Threads of a computation; all processors but one by default.")
@option("--max_batch", Whole(least=1), "Requests that a model answers together.", default=64)
@option("--max_queue", Whole(least=1), "Requests that may wait for a model.", default=256)
@option("--max_body", Whole(least=1), "Bytes of a request's body.", default=1 << 20)
@option("--timeout", Number(), "Seconds that a request may take.", default=10.0)
def serve_command(folders, host, port, api_key, state_dir, threads, max_batch, max_queue, max_body, timeout):
    """Answer requests for recommendations over HTTP, and show a page to try them.

    DIR is a folder that export wrote, or NAME=DIR; the first is the default of several. Ctrl-C ends the server, after
    the requests that are under way.
    """
    if not 0 < timeout < float("inf"):
        raise ConfigError(f"timeout must be a number of seconds above 0, not {timeout!r}")
    from recbole_mpo.release.serving import server
    from recbole_mpo.release.serving.limits import Limits

    limits = replace(Limits(), body_bytes=max_body, max_batch=max_batch, max_queue=max_queue, timeout=timeout)
    place = server.Place(host, port, server.api_key(api_key))
    return server.serve(folders, place, limits, threads, Path(state_dir) if state_dir else None)
