"""Why a training run ends without a new version in Production.

SlipwayError
├── DataRefusedError       the data does not fit the recipe's schema, or is not worth training on
├── DataUnavailableError   the data cannot be found or fetched
├── OverrideError          a `--set` has an unknown name or an invalid value
├── ParityError            an exported graph's predictions differ from its estimator's
├── TrainingError          the rows cannot be split, or a candidate cannot be fitted or exported
└── UnknownRecipeError     no recipe has that name, or a file defines none
"""

import re
from collections.abc import Sequence

from slipway_core.errors import SlipwayError

# A library's message may hold a whole matrix.
MAX_REASON = 200
_CLASS = re.compile(r"<class '(?:[^']*\.)?([^'.]+)'>")
# Within quotes, a folder's name may hold spaces.
_FOLDERS = re.compile(
    r"""(?<=['"])(?:[A-Za-z]:)?[\\/][^'"]*[\\/]|(?<![\w/:])(?:[A-Za-z]:)?[\\/](?:[^\s'"\\/:]+[\\/])+"""
)
_SUPPORT_LINE = re.compile(r"\s*(?:You may raise an? iss?ue|Please raise|Please fill)\b.*", re.IGNORECASE)


def reason_of(error: BaseException) -> str:
    """Return what another library's error says as the middle of a sentence: one line, without folders, not long."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = _SUPPORT_LINE.sub("", _FOLDERS.sub("", _CLASS.sub(r"\1", text))).rstrip(" .:;")
    if len(text) > MAX_REASON:
        text = text[: MAX_REASON - 1].rstrip() + "…"
    return text or type(error).__name__


class DataRefusedError(SlipwayError):
    """The data does not fit the recipe's schema, or is not worth training on.

    Attributes:
        findings: one sentence for each thing that is wrong.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        told = f" {findings[0]}" if len(findings) == 1 else "".join(f"\n  - {finding}" for finding in findings)
        super().__init__(f"the data was refused, nothing is registered:{told}")


class DataUnavailableError(SlipwayError):
    """The data cannot be found or fetched."""


class OverrideError(SlipwayError):
    """A `--set` has an unknown name or an invalid value."""


class ParityError(SlipwayError):
    """An exported graph's predictions differ from its estimator's."""


class TrainingError(SlipwayError):
    """The rows cannot be split, or a candidate cannot be fitted or exported."""


class UnknownRecipeError(SlipwayError):
    """No recipe has that name, or a file defines none."""
