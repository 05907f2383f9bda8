"""The history of what Production pointed to: one tag of the registered model an event."""

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

EVENT_PREFIX = "slipway.event."

Action = Literal["promote", "rollback"]


class PromotionEvent(BaseModel):
    """One move of the alias Production, as it is kept in a tag."""

    # Not a number is null by default, which is not read back.
    model_config = ConfigDict(frozen=True, populate_by_name=True, ser_json_inf_nan="constants")

    action: Action
    version: str = Field(description="The version that Production points to since.")
    from_version: Annotated[str | None, Field(alias="from")] = Field(description="The one before, if there was one.")
    by: str = Field(description="Who moved it: a person or a service.")
    at: Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))] = Field(description="When, UTC.")
    reason: str
    metrics: dict[str, float] = Field(default_factory=dict, description="The version's metrics.")
    data_version: str | None = Field(default=None, description="The data that the version was trained on.")

    def to_tag(self) -> str:
        """Return the JSON that is kept as the tag's value."""
        return self.model_dump_json(by_alias=True)


def history(tags: Mapping[str, str]) -> list[PromotionEvent]:
    """Return a registered model's events, the oldest first. A tag that is not an event's JSON is passed over."""
    events = []
    for _, value in sorted((number, tags[key]) for key, number in _numbered(tags).items()):
        try:
            events.append(PromotionEvent.model_validate_json(value))
        except ValidationError:
            continue
    return events


def next_key(tags: Mapping[str, str]) -> str:
    """Return the tag that the next event is kept under: `slipway.event.000001` and on."""
    return f"{EVENT_PREFIX}{max(_numbered(tags).values(), default=0) + 1:06d}"


def _numbered(tags: Mapping[str, str]) -> dict[str, int]:
    suffixes = {key: key.removeprefix(EVENT_PREFIX) for key in tags if key.startswith(EVENT_PREFIX)}
    return {key: int(suffix) for key, suffix in suffixes.items() if suffix.isascii() and suffix.isdigit()}
