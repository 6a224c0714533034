"""The command line: arguments in, exit code out.

``recbole-mpo run`` and ``run_recbole_mpo.py`` take RecBole's ``--key=value`` form for every setting.
"""

import sys
import traceback

from recbole_mpo import __version__
from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.common.process import prepare_process

USAGE = """usage: recbole-mpo COMMAND [--key=value ...]

commands
  run        train and evaluate: --model=NAME --dataset=NAME [--config_files=a.yaml,b.yaml] [--key=value ...]
             [--dry_run] [--resume=PATH|auto] [--record=PATH]
  evaluate   metrics of a checkpoint: --checkpoint=FILE
  recommend  top items for histories: --checkpoint=FILE --items=token,token | --histories=FILE [--topk=10]
  merge      MPO checkpoint to a dense UniSRec one: --checkpoint=FILE --output=FILE
  table      compare runs: RECORD [RECORD ...] [--format=markdown|csv] [--metrics=...] [--mix] [--published]
  prepare    make a data set's files: NAME (Pantry, OR, ml-100k, ...) [--data_path=dataset] [--raw=FOLDER], from
             your own tables: NAME --interactions=FILE --user=COLUMN --item=COLUMN --time=COLUMN
             [--items=FILE --text=COLUMN,COLUMN], or from prepared sets: NAME --domains=A,B
  inspect    a data set's statistics, histograms and histories, and an HTML page: NAME [--page=FILE] [--users=3]
  demo       prepare ml-100k, train MPORec on it, show the table and one user's recommendations
  doctor     versions, device, and what is missing

Every setting is --key=value; docs/settings.md lists them. --debug shows the whole trace of an error."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns 0, or 2 after an error a user can mend."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _dispatch(arguments)
    except RecboleMPOError as problem:
        if debug:
            traceback.print_exc()
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with what is there, a run with --resume=auto", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] == "help" or {"--help", "-h"} & set(arguments):
        print(USAGE)
        return 0 if arguments else 2
    if "--version" in arguments:
        print(f"recbole_mpo {__version__}")
        return 0
    prepare_process()
    # Imported here so that --help answers at once and doctor runs where another import is broken.
    if arguments[0] == "doctor":
        from recbole_mpo.cli import doctor

        return doctor.report()
    from recbole_mpo.cli import commands
    from recbole_mpo.common.values import suggestion

    command = commands.COMMANDS.get(arguments[0])
    if command is None:
        raise ConfigError(
            f"unknown command {arguments[0]!r}{suggestion(arguments[0], [*commands.COMMANDS, 'doctor'])}; "
            "see recbole-mpo --help"
        )
    return command(arguments[1:])
