"""The exceptions that a user may see. Each message says what is wrong, where, and what to do."""


class RecboleMPOError(Exception):
    """Base class of every error raised on purpose; the command line prints it in one line and exits with 2."""


class ConfigError(RecboleMPOError):
    """A setting is unknown, mistyped, contradictory or out of range."""


class DataError(RecboleMPOError):
    """An interaction or text file is missing, malformed or too small to use."""


class FeatureError(DataError):
    """An item feature matrix does not match the items, or holds unusable numbers."""


class CheckpointError(RecboleMPOError):
    """A checkpoint is missing, damaged, or belongs to another model or feature matrix."""


class RecordError(RecboleMPOError):
    """A run record is missing, malformed, or not comparable with the others."""


class DependencyError(RecboleMPOError):
    """An optional package is missing; the message names the extra that installs it."""
