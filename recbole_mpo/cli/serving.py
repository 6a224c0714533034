"""``serve``: recommendations over HTTP."""

from dataclasses import replace
from pathlib import Path

import click

from recbole_mpo.cli.arguments import command, option
from recbole_mpo.cli.kinds import Number, Text, Whole
from recbole_mpo.common.errors import ConfigError


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
