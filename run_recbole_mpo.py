"""Runs one experiment: ``python run_recbole_mpo.py --model=MPORec --dataset=Scientific``."""

import sys

from recbole_mpo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
