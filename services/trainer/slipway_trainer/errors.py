"""Why a training run ends without a new version in Production.

SlipwayError
├── DataRefusedError       the data does not fit the recipe's schema, or is not worth training on
├── DataUnavailableError   the data cannot be found or fetched
├── OverrideError          a `--set` names nothing there is, or gives it a value that it cannot have
├── ParityError            an exported graph does not answer as its estimator does
├── TrainingError          the rows cannot be split, or a candidate cannot be fitted or exported
└── UnknownRecipeError     no recipe has that name, or a file defines none
"""

from collections.abc import Sequence

from slipway_core.errors import SlipwayError


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
    """A `--set` names nothing there is, or gives it a value that it cannot have."""


class ParityError(SlipwayError):
    """An exported graph does not answer as its estimator does."""


class TrainingError(SlipwayError):
    """The rows cannot be split, or a candidate cannot be fitted or exported."""


class UnknownRecipeError(SlipwayError):
    """No recipe has that name, or a file defines none."""
