"""The exceptions a user may meet. Each message names what was wrong, where, and what to do."""


class RecboleMPOError(Exception):
    """Root of every error raised on purpose; the command line prints it in one line and exits 2."""


class ConfigError(RecboleMPOError):
    """A setting is unknown, mistyped, contradictory or out of range."""


class DataError(RecboleMPOError):
    """An interaction or text file is missing, malformed or too small to use."""


class FeatureError(DataError):
    """An item feature matrix does not fit the items, or holds unusable numbers."""


class CheckpointError(RecboleMPOError):
    """A checkpoint is missing, damaged, or belongs to another model or feature matrix."""


class RecordError(RecboleMPOError):
    """A run record is missing, malformed, or not comparable with the others."""


class DependencyError(RecboleMPOError):
    """An optional package is absent; the message names the extra that brings it."""
