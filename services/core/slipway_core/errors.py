"""Errors that more than one service raises or handles. They know nothing of HTTP.

SlipwayError
├── ConfigurationError        a setting is missing, misspelt or unsafe
├── BundleError               a bundle is damaged, incomplete or not understood
├── FeaturesError             input that the model's signature does not allow
├── HistoryNotWrittenError    Production was moved, but the event could not be added to its history
├── NothingToRestoreError     Production has no previous version that can be restored
├── ProductionMovedError      another process moved Production meanwhile
├── RegistryError             the model registry rejected a call or failed
│   ├── RegistryUnavailableError   it cannot be reached; trying again may help
│   └── RegistryNotFoundError      no such model, version or artifact
│       └── NotRegisteredError         the registry itself answered so, not a proxy before it
└── StorageError              a folder or bucket rejected a call or failed
    ├── StorageUnavailableError    it cannot be reached; trying again may help
    └── StorageNotFoundError       no such file or bucket

Every message is one plain sentence that says what to do, fit to be shown to a person: it carries no file path (but
paths inside a storage, as they were asked for), no secret and no library's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SlipwayError(Exception):
    """The root of every error that Slipway raises on purpose."""


class ConfigurationError(SlipwayError):
    """A setting is missing, misspelt or unsafe."""


class BundleError(SlipwayError):
    """A bundle is damaged, incomplete, or of a kind that is not understood."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in an input: the place (keys and indices from the root) and a sentence about it."""

    loc: tuple[str | int, ...]
    msg: str


class FeaturesError(SlipwayError):
    """An input that does not fit the model's signature.

    Attributes:
        problems: every place that is wrong, at most `slipway_core.signature.MAX_PROBLEMS` of them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.msg for problem in self.problems))


class HistoryNotWrittenError(SlipwayError):
    """Production was moved, but the event could not be added to its history."""


class NothingToRestoreError(SlipwayError):
    """Production has no previous version that can be restored."""


class ProductionMovedError(SlipwayError):
    """Another process moved Production meanwhile."""


class RegistryError(SlipwayError):
    """The model registry rejected a call or failed."""


class RegistryUnavailableError(RegistryError):
    """The model registry cannot be reached or timed out."""


class RegistryNotFoundError(RegistryError):
    """The model registry has no such model, version, alias or artifact."""


class NotRegisteredError(RegistryNotFoundError):
    """The model registry answered in its own error format that a model or version does not exist.

    A 404 of a proxy in front of it is a plain RegistryNotFoundError.
    """


class StorageError(SlipwayError):
    """A folder or bucket rejected a call or failed."""


class StorageUnavailableError(StorageError):
    """The S3 server cannot be reached, is busy, or closed the connection."""


class StorageNotFoundError(StorageError):
    """The storage has no such file or bucket."""
