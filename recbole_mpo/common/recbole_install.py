"""How RecBole is installed where it is absent; its own requirements keep it out of Python 3.12 and later."""

import sys

from recbole_mpo.common.errors import DependencyError

# Without its requirements: of these, ray 2.6 has no build for Python 3.12 and later, and nothing here imports it.
RECBOLE = "recbole==1.2.1"
WITHOUT_REQUIREMENTS = "--no-deps"


def missing_recbole() -> DependencyError:
    """Return the error for an absent RecBole, with the command that installs it."""
    command = f"{sys.executable} -m pip install {WITHOUT_REQUIREMENTS} {RECBOLE}"
    return DependencyError(f"RecBole is not installed; run: {command}")
