"""The history of the alias Production: one tag of the registered model per event."""

import time
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway_core.errors import RegistryError
from slipway_core.signing.messages import UtcTime

EVENT_PREFIX = "slipway.event."
# Of the number in a tag's key. Longer ones are not events: another program wrote them.
MAX_DIGITS = 18
# Serials that are further in the future are ignored: a wrong clock, or another program, wrote them.
MAX_SKEW_MICROSECONDS = 24 * 3600 * 1_000_000

Action = Literal["promote", "rollback"]


class PromotionEvent(BaseModel):
    """One move of the alias Production, as stored in a tag."""

    # By default, pydantic writes NaN as null and does not read it back.
    model_config = ConfigDict(frozen=True, populate_by_name=True, ser_json_inf_nan="constants")

    action: Action
    version: str = Field(description="The version that Production points to after the move.")
    from_version: Annotated[str | None, Field(alias="from")] = Field(description="The previous version, or null.")
    by: str = Field(description="The person or service that moved it.")
    at: UtcTime = Field(description="The time, UTC.")
    reason: str
    metrics: dict[str, float] = Field(default_factory=dict, description="The version's metrics.")
    data_version: str | None = Field(default=None, description="The data that the version was trained on.")
    digest: str | None = Field(
        default=None, exclude_if=lambda digest: digest is None, description="Signed events: that of the version."
    )
    serial: int | None = Field(
        default=None,
        exclude_if=lambda serial: serial is None,
        description="Signed events: increases from event to event, also if the model is created again; microseconds.",
    )

    def to_tag(self) -> str:
        """Return the JSON to store as the tag's value."""
        return self.model_dump_json(by_alias=True)


def history(tags: Mapping[str, str]) -> list[PromotionEvent]:
    """Return a registered model's events, oldest first. Tags without a valid event are skipped."""
    return [event for _, value in numbered_tags(tags) if (event := parse_event(value)) is not None]


def numbered_tags(tags: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return the numbers and values of a registered model's event tags, oldest first."""
    values = {number: tags[key] for key, number in _numbered(tags).items()}
    return sorted(values.items())


def now_in_microseconds() -> int:
    """Return the time since the epoch, the unit of serials."""
    return time.time_ns() // 1000


def key_of(number: int) -> str:
    """Return the key of an event's tag: `slipway.event.000001` and so on."""
    return f"{EVENT_PREFIX}{number:06d}"


def next_number(tags: Mapping[str, str]) -> int:
    """Return the number of the next event.

    Raises:
        RegistryError: the highest number is in use.
    """
    last = max(_numbered(tags).values(), default=0)
    if last + 1 >= 10**MAX_DIGITS:
        raise RegistryError(f"no number follows that of the tag {key_of(last)}: delete this tag in MLflow")
    return last + 1


def parse_event(value: str) -> PromotionEvent | None:
    """Return the event in a tag's value; None if it is invalid."""
    try:
        return PromotionEvent.model_validate_json(value)
    except ValidationError:
        return None


def _numbered(tags: Mapping[str, str]) -> dict[str, int]:
    suffixes = {key: key.removeprefix(EVENT_PREFIX) for key in tags if key.startswith(EVENT_PREFIX)}
    return {
        key: int(suffix)
        for key, suffix in suffixes.items()
        if len(suffix) <= MAX_DIGITS and suffix.isascii() and suffix.isdigit()
    }
