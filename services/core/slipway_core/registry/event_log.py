"""Add events to a model's history."""

from slipway_core.errors import HistoryNotWrittenError, RegistryError
from slipway_core.registry.base import RegisteredModel, Registry
from slipway_core.registry.events import (
    MAX_SKEW_MICROSECONDS,
    PromotionEvent,
    key_of,
    next_number,
    now_in_microseconds,
    numbered_tags,
    parse_event,
)
from slipway_core.signing import Signer
from slipway_core.signing.messages import sign_event

WRITE_ATTEMPTS = 4


def add_event(registry: Registry, name: str, event: PromotionEvent, signer: Signer | None) -> None:
    """Add an event to the history. Retry if this fails or another process uses the same number.

    Raises:
        HistoryNotWrittenError: every attempt failed.
    """
    problem = "other processes used the same event number"
    written: tuple[str, str] | None = None
    for _ in range(WRITE_ATTEMPTS):
        try:
            model = registry.get_model(name)
            # Checked after each write, because another process may overwrite it.
            if written is not None and model.tags.get(written[0]) == written[1]:
                return
            number = next_number(model.tags)
            written = key_of(number), _tag(model, number, event, signer)
            registry.set_model_tag(name, *written)
        except RegistryError as error:
            problem = str(error)
    advice = (
        "do not repeat the command; `slipway models history` shows the move as external"
        if signer is None
        else "repeat the command, because the API follows signed events only"
    )
    raise HistoryNotWrittenError(
        f"Production of {name} is now version {event.version}, but its history could not be written ({problem}): "
        f"{advice}",
        event.version,
        event.from_version,
    )


def next_serial(model: RegisteredModel) -> int:
    """Return the serial of a model's next event: the time in microseconds, or more if the last serial is not lower."""
    now = now_in_microseconds()
    events = [parse_event(value) for _, value in numbered_tags(model.tags)]
    serials = [event.serial for event in events if event is not None and event.serial is not None]
    return max([now, *(serial + 1 for serial in serials if serial <= now + MAX_SKEW_MICROSECONDS)])


def _tag(model: RegisteredModel, number: int, event: PromotionEvent, signer: Signer | None) -> str:
    if signer is None:
        return event.to_tag()
    event = event.model_copy(update={"serial": next_serial(model)})
    return sign_event(signer, model.name, number, event.to_tag())
