"""Imports pyarrow, an optional package, with one message where it is missing."""

from recbole_mpo.common.errors import DependencyError


def require_pyarrow(purpose: str, extra: str = "scale"):
    """Return pyarrow, with its modules for Parquet and for computing.

    Args:
        purpose: what needs it, the first words of the message.
        extra: the extra of this package that installs it.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as problem:
        raise DependencyError(f"{purpose} needs pyarrow; run: pip install 'recbole-mpo[{extra}]'") from problem
    return pyarrow
