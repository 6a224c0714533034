"""``python -m recbole_mpo`` is ``recbole-mpo``."""

import sys

from recbole_mpo.cli.main import main

sys.exit(main())
