"""The history: the tag of a promotion, the numbers of events, and tags that are skipped."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway_core.errors import RegistryError
from slipway_core.registry.events import EVENT_PREFIX, PromotionEvent, history, key_of, next_number

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(version: str = "7", **changes: Any) -> PromotionEvent:
    fields = {
        "action": "promote",
        "version": version,
        "from": "6",
        "by": "grace",
        "at": NOON,
        "reason": "not worse than 6",
        "metrics": {"accuracy": 0.97},
        "data_version": "sha256:" + "0" * 64,
    }
    return PromotionEvent.model_validate({**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"from": None, "metrics": {}, "data_version": None}, {"at": NOON.astimezone(timezone(timedelta(hours=2)))}],
    ids=["complete", "without details", "another time zone"],
)
def test_tag_has_the_documented_keys_and_utc_time(changes: dict[str, Any]) -> None:
    expected = {
        "action": "promote",
        "version": "7",
        "from": "6",
        "by": "grace",
        "at": "2026-11-20T12:00:00Z",
        "reason": "not worse than 6",
        "metrics": {"accuracy": 0.97},
        "data_version": "sha256:" + "0" * 64,
    }

    assert json.loads(event(**changes).to_tag()) == {**expected, **changes, "at": expected["at"]}


def test_time_without_a_zone_is_rejected() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        event(at=NOON.replace(tzinfo=None))


def test_unknown_action_is_rejected() -> None:
    with pytest.raises(ValidationError, match="action"):
        event(action="delete")


@given(
    st.builds(
        event,
        version=st.integers(1, 10**6).map(str),
        action=st.sampled_from(["promote", "rollback"]),
        by=st.text(),
        reason=st.text(),
        at=st.datetimes(timezones=st.just(UTC)),
        metrics=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_event_is_read_back_unchanged(written: PromotionEvent) -> None:
    assert history({f"{EVENT_PREFIX}000001": written.to_tag()}) == [written]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_metric_does_not_lose_the_event(value: float) -> None:
    written = event(metrics={"r2": value, "mae": 12.5})

    (read,) = history({f"{EVENT_PREFIX}000001": written.to_tag()})

    assert read.version == "7"
    assert read.metrics["mae"] == 12.5


def test_events_are_sorted_by_number() -> None:
    numbers = (10, 2, 1_000_000, 1)
    tags = {f"{EVENT_PREFIX}{number:06d}": event(str(number)).to_tag() for number in numbers}

    assert [found.version for found in history(tags)] == ["1", "2", "10", "1000000"]


def test_missing_numbers_are_skipped() -> None:
    tags = {f"{EVENT_PREFIX}000003": event("3").to_tag(), f"{EVENT_PREFIX}000007": event("7").to_tag()}

    assert [found.version for found in history(tags)] == ["3", "7"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slipway.event.000002", "not JSON"),
        ("slipway.event.000002", "[]"),
        ("slipway.event.000002", '{"action": "promote"}'),
        ("slipway.event.000002", ""),
        ("slipway.event.", event("2").to_tag()),
        ("slipway.event.two", event("2").to_tag()),
        ("slipway.event.²", event("2").to_tag()),
        ("slipway.event.-2", event("2").to_tag()),
        ("slipway.event." + "9" * 5_000, event("2").to_tag()),
        ("slipway.event.000002", event("2").to_tag().replace("2026-11-20T12:00:00Z", "0001-01-01T00:00:00+23:00")),
        ("slipway.event.000002", event("2").to_tag().replace("2026-11-20T12:00:00Z", "9999-12-31T23:59:59-23:00")),
        ("slipway.events.000002", event("2").to_tag()),
        ("team", "vision"),
    ],
)
def test_invalid_event_tag_is_skipped(key: str, value: str) -> None:
    tags = {"slipway.event.000001": event("1").to_tag(), key: value, "slipway.event.000003": event("3").to_tag()}

    assert [found.version for found in history(tags)] == ["1", "3"]


def test_unknown_field_of_a_later_release_keeps_the_event() -> None:
    tag = json.dumps({**json.loads(event().to_tag()), "approved_by": "ada"})

    assert history({f"{EVENT_PREFIX}000001": tag}) == [event()]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], "slipway.event.000001"),
        (["slipway.event.000001"], "slipway.event.000002"),
        (["slipway.event.000002", "slipway.event.000007"], "slipway.event.000008"),
        (["slipway.event.9", "slipway.event.10"], "slipway.event.000011"),
        (["slipway.event.999999"], "slipway.event.1000000"),
        (["slipway.event.1" + "0" * 18, "slipway.event.7"], "slipway.event.000008"),
        (
            ["slipway.event.two", "slipway.event.", "slipway.event.-9", "team", "slipway.event.²"],
            "slipway.event.000001",
        ),
    ],
)
def test_next_event_has_the_number_after_the_highest(keys: list[str], expected: str) -> None:
    assert key_of(next_number(dict.fromkeys(keys, "whatever they hold"))) == expected


def test_number_that_cannot_be_followed_is_reported() -> None:
    with pytest.raises(RegistryError, match="delete this tag"):
        next_number({"slipway.event." + "9" * 18: ""})
