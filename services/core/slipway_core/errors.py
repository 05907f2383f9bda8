"""Errors that more than one service raises or handles. They know nothing of HTTP.

SlipwayError
├── ConfigurationError        a setting is missing, misspelled or unsafe
├── BundleError               a bundle is damaged, incomplete or invalid
│   └── SignatureError             a version or event has no valid signature of a trusted key
├── FeaturesError             the input does not match the model's signature
├── HistoryNotWrittenError    Production was moved, but its history has no event for it
├── NothingToRestoreError     Production has no previous version that can be restored
├── ProductionMovedError      another process moved Production at the same time
├── RegistryError             the model registry rejected a call or failed
│   ├── RegistryUnavailableError   it cannot be reached; a retry may help
│   └── RegistryNotFoundError      the model, version or artifact does not exist
│       └── NotRegisteredError         the registry itself answered so, not a proxy in front of it
└── StorageError              a folder or bucket rejected a call or failed
    ├── StorageUnavailableError    it cannot be reached; a retry may help
    └── StorageNotFoundError       the file or bucket does not exist

Every message is one plain sentence that states what to do. It is safe to show to users: it contains no secrets, no
names of libraries, and no file paths except requested paths inside a storage.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SlipwayError(Exception):
    """The base class of Slipway's own errors."""


class ConfigurationError(SlipwayError):
    """A setting is missing, misspelled or unsafe."""


class BundleError(SlipwayError):
    """A bundle is damaged, incomplete or invalid."""


class SignatureError(BundleError):
    """A version or event has no valid signature of a trusted key."""


@dataclass(frozen=True)
class Problem:
    """One problem in an input: its place (keys and indices from the root) and a sentence that describes it."""

    loc: tuple[str | int, ...]
    msg: str


class FeaturesError(SlipwayError):
    """The input does not match the model's signature.

    Attributes:
        problems: the problems found, at most `slipway_core.signature.MAX_PROBLEMS`.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.msg for problem in self.problems))


class HistoryNotWrittenError(SlipwayError):
    """Production was moved, but its history has no event for it.

    Attributes:
        version: the version that Production points to now.
        from_version: the version that it pointed to before; None if it was not set.
    """

    def __init__(self, message: str, version: str, from_version: str | None) -> None:
        self.version = version
        self.from_version = from_version
        super().__init__(message)


class NothingToRestoreError(SlipwayError):
    """Production has no previous version that can be restored."""


class ProductionMovedError(SlipwayError):
    """Another process moved Production at the same time."""


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
