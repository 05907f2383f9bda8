"""The result of the promotion gate, as stored in the tag of a model version."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

GATE_TAG = "slipway.gate"

FLOOR_PREFIX = "floor of "
# The values of `--promote`. The gate's result is always stored, but decides only in `auto`.
PromoteMode = Literal["auto", "never", "force"]


class _Frozen(BaseModel):
    # By default, pydantic writes NaN as null and does not read it back.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class GateCheck(_Frozen):
    """One check of the gate."""

    name: str = Field(description="What the gate checked, such as `floor of accuracy`.")
    metric: str | None = Field(default=None, description="The compared metric; null for other checks.")
    value: float | None = Field(default=None, description="The measured value.")
    required: float | None = Field(default=None, description="The required value.")
    passed: bool
    reason: str = Field(description="The result of the check as a sentence.")


class GateResult(_Frozen):
    """The gate's checks and its decision."""

    checks: tuple[GateCheck, ...]
    mode: PromoteMode = Field(default="auto", description="The value of `--promote`.")

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def promote(self) -> bool:
        """Whether the version becomes Production."""
        return self.mode == "force" or (self.mode == "auto" and self.passed)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the gate compared: first those compared with Production, then those of the floors."""
        compared = [check for check in self.checks if check.metric is not None]
        compared.sort(key=lambda check: check.name.startswith(FLOOR_PREFIX))
        return tuple(dict.fromkeys(check.metric for check in compared if check.metric is not None))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the failed checks; of all checks if none failed."""
        return tuple(check.reason for check in self.checks if self.passed or not check.passed)

    @property
    def summary(self) -> str:
        """The `reasons` in one line."""
        return "; ".join(self.reasons)

    def to_tag(self) -> str:
        """Return the JSON to store as the tag's value."""
        return self.model_dump_json()


def gate_result_of(tags: Mapping[str, str]) -> GateResult | None:
    """Return the gate result in a version's tags; None if the tag is missing or invalid."""
    try:
        return GateResult.model_validate_json(tags[GATE_TAG])
    except (KeyError, ValidationError):
        return None
