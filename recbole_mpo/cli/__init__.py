"""The command line: arguments come in, an exit code goes out.

``main`` turns errors into exit codes, ``arguments`` and ``kinds`` read ``--key=value``, and ``commands`` holds the one
table of commands, which stand in ``runs``, ``releases``, ``studies``, ``data``, ``demo`` and ``doctor``. The room may
import every other, and does so inside its commands: help answers at once, and the doctor runs where another import is
broken. Hence nothing is exported here.
"""
