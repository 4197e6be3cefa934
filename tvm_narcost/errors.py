"""Errors of narcost itself.

    NarcostError                base; the command line catches it, FrontendError and ProfileError, once
    ├── ArtifactError           missing, corrupt, or of another schema
    ├── CompileError            a TVM module cannot be prepared, or a plan cannot be lowered
    ├── DatabaseError           locked, corrupt, of another version, or not a database
    ├── MeasurementError        a network could not be built or run
    ├── RuntimeMissingError     the runtime that a profile names is not installed
    ├── TrainingError           the data or the settings do not allow training
    └── ZooError                unknown family or impossible settings

A message says what, got, expected and the next step, in that order.
"""

__all__ = [
    "ArtifactError",
    "CompileError",
    "DatabaseError",
    "MeasurementError",
    "NarcostError",
    "RuntimeMissingError",
    "TrainingError",
    "ZooError",
]


class NarcostError(Exception):
    """Base of every error that narcost raises on purpose."""


class ArtifactError(NarcostError):
    """An artifact is missing, corrupt, or of another schema or version."""


class CompileError(NarcostError):
    """A TVM module cannot be prepared, or a plan cannot be lowered."""


class DatabaseError(NarcostError):
    """A latency database is locked, corrupt, of another version, or none at all."""


class MeasurementError(NarcostError):
    """A network could not be built, run or timed."""


class RuntimeMissingError(NarcostError):
    """The runtime that a profile names is not installed here."""


class TrainingError(NarcostError):
    """The data or the settings do not allow training."""


class ZooError(NarcostError):
    """An unknown family, or settings that no network can have."""
