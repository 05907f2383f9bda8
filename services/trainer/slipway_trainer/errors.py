"""Errors that end a training run without a new Production version.

SlipwayError
├── DataRefusedError       the data does not match the recipe's schema, or is unsuitable for training
├── DataUnavailableError   the data cannot be found or fetched
├── ForeignModelError      a model that Slipway did not train cannot be registered
├── OverrideError          a `--set` has an unknown name or an invalid value
├── ParityError            an exported graph's predictions differ from its estimator's
├── TrainingError          the rows cannot be split, or a candidate cannot be fitted or exported
└── UnknownRecipeError     the recipe does not exist, or a file defines none
"""

import re
from collections.abc import Sequence

from slipway_core.errors import SlipwayError

# The message of a library may contain a whole matrix.
MAX_REASON = 200
_CLASS = re.compile(r"<class '(?:[^']*\.)?([^'.]+)'>")
# Inside quotes, a folder's name may contain spaces.
_FOLDERS = re.compile(
    r"""(?<=['"])(?:[A-Za-z]:)?[\\/][^'"]*[\\/]|(?<![\w/:])(?:[A-Za-z]:)?[\\/](?:[^\s'"\\/:]+[\\/])+"""
)
_SUPPORT_LINE = re.compile(r"\s*(?:You may raise an? iss?ue|Please raise|Please fill)\b.*", re.IGNORECASE)


def reason_of(error: BaseException) -> str:
    """Return the message of another library's error for use inside a sentence: one short line, without folders."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = _SUPPORT_LINE.sub("", _FOLDERS.sub("", _CLASS.sub(r"\1", text))).rstrip(" .:;")
    if len(text) > MAX_REASON:
        text = text[: MAX_REASON - 1].rstrip() + "…"
    return text or type(error).__name__


class DataRefusedError(SlipwayError):
    """The data does not match the recipe's schema, or is unsuitable for training.

    Attributes:
        findings: one sentence per problem.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        details = f" {findings[0]}" if len(findings) == 1 else "".join(f"\n  - {finding}" for finding in findings)
        super().__init__(f"the data was rejected, and no version was registered:{details}")


class DataUnavailableError(SlipwayError):
    """The data cannot be found or fetched."""


class ForeignModelError(SlipwayError):
    """A model that Slipway did not train cannot be registered."""


class OverrideError(SlipwayError):
    """A `--set` has an unknown name or an invalid value."""


class ParityError(SlipwayError):
    """An exported graph's predictions differ from its estimator's."""


class TrainingError(SlipwayError):
    """The rows cannot be split, or a candidate cannot be fitted or exported."""


class UnknownRecipeError(SlipwayError):
    """The recipe does not exist, or a file defines none."""
