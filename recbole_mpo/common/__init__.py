"""What every room needs and none owns: settings, errors, files, the process and the machine.

Files of settings and arguments come in, checked values go out: ``values`` reads YAML and ``--key=value``, ``setting``
and ``schema`` are the rows of properties/schema.yaml, ``config`` makes one run's settings of them for RecBole. The room
may import none of the others. Only the errors are exported: settings load PyTorch and RecBole, and the doctor runs
where these are broken.
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
