"""The command line: arguments come in, an exit code goes out.

``main`` turns errors into exit codes, ``arguments`` and ``kinds`` read ``--key=value``, and ``commands`` holds the
table of all commands, which are defined in ``runs``, ``releases``, ``studies``, ``data``, ``demo`` and ``doctor``. The
room may import every other room, and does so inside its commands: help answers at once, and the doctor runs even if
another import is broken. So nothing is exported here.
"""
