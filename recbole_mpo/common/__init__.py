"""Code that every room needs: settings, errors, files, the process and the machine.

Settings files and arguments come in, checked values go out: ``values`` reads YAML and ``--key=value``, ``setting`` and
``schema`` are the rows of ``properties/schema.yaml``, and ``config`` makes one run's settings from them for RecBole.
The room may import no other room. It exports only the errors: settings load PyTorch and RecBole, and the doctor must
run even if these are broken.
"""

from recbole_mpo.common.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DependencyError,
    FeatureError,
    RecboleMPOError,
    RecordError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DependencyError",
    "FeatureError",
    "RecboleMPOError",
    "RecordError",
]
