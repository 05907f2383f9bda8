"""Why a training run ends without a new version in Production.

SlipwayError
├── DataRefusedError    the data does not fit the recipe's schema
├── ParityError         an exported graph does not answer as its estimator does
└── UnknownRecipeError  no recipe has that name
"""

from collections.abc import Sequence

from slipway_core.errors import SlipwayError


class DataRefusedError(SlipwayError):
    """The data does not fit the recipe's schema.

    Attributes:
        findings: one sentence for each thing that is wrong.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("the data was refused, nothing is registered: " + "; ".join(findings))


class ParityError(SlipwayError):
    """An exported graph does not answer as its estimator does."""


class UnknownRecipeError(SlipwayError):
    """No recipe has that name."""
