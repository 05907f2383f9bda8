"""Logs: JSON lines for machines, text for people, and the request id on every event of a request."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from slipway_core.logging import RequestContext, configure_logging, get_logger

CHATTY = ("httpx", "httpcore", "alembic.runtime.plugins")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore the logging of the process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the logged JSON lines as dictionaries."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    get_logger("slipway.test").info("model_loaded", model="iris", version="7", text="two\nlines")

    (event,) = events(capsys)
    time = datetime.fromisoformat(event.pop("time"))
    assert event == {
        "event": "model_loaded",
        "level": "info",
        "logger": "slipway.test",
        "model": "iris",
        "version": "7",
        "text": "two\nlines",
    }
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)


def test_standard_loggers_use_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    with RequestContext("abc"):
        logging.getLogger("uvicorn.error").warning("listening on port %d", 8000)

    (event,) = events(capsys)
    assert event.pop("time")
    assert event == {
        "event": "listening on port 8000",
        "level": "warning",
        "logger": "uvicorn.error",
        "request_id": "abc",
    }


def test_exception_is_logged_within_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    try:
        raise ValueError("a fault of ours")
    except ValueError:
        get_logger("slipway.test").exception("unexpected")

    (event,) = events(capsys)
    assert event["event"] == "unexpected"
    assert event["exception"].endswith("ValueError: a fault of ours")


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["debug", "info", "warning", "error"]), ("info", ["info", "warning", "error"]), ("error", ["error"])],
)
def test_only_events_of_the_level_and_above_are_written(
    capsys: pytest.CaptureFixture[str], level: str, written: list[str]
) -> None:
    configure_logging(level, "json")

    log = get_logger("slipway.test")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("happened")

    assert [event["level"] for event in events(capsys)] == written


def test_requests_of_httpx_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")

    logging.getLogger("httpx").info("HTTP Request: GET")
    logging.getLogger("httpx").warning("odd")

    assert [event["event"] for event in events(capsys)] == ["odd"]


def test_configuring_twice_writes_an_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    configure_logging("info", "json")

    get_logger("slipway.test").info("once")

    assert len(events(capsys)) == 1


@pytest.mark.parametrize(
    "value",
    [Path("model.onnx"), {1}, float("nan"), 2**70, {1: "a number as a key"}, "\udcff"],
    ids=["path", "set", "nan", "huge integer", "integer key", "lone surrogate"],
)
def test_value_outside_json_does_not_lose_the_event(capsys: pytest.CaptureFixture[str], value: object) -> None:
    configure_logging("info", "json")

    get_logger("slipway.test").info("odd_value", value=value)

    (event,) = events(capsys)
    assert event["event"] == "odd_value"
    assert "value" in event


# The request id


def test_request_id_is_on_events_of_its_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    log = get_logger("slipway.test")

    with RequestContext("abc"):
        log.info("first")
        get_logger("slipway.other").info("second")
    log.info("after")

    assert [event.get("request_id") for event in events(capsys)] == ["abc", "abc", None]


def test_request_id_is_removed_after_a_failed_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    with pytest.raises(RuntimeError), RequestContext("abc"):
        raise RuntimeError
    get_logger("slipway.test").info("after")

    assert "request_id" not in events(capsys)[0]


def test_outer_request_id_is_restored_after_an_inner_one(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    log = get_logger("slipway.test")

    with RequestContext("outer"):
        with RequestContext("inner"):
            log.info("within")
        log.info("after")

    assert [event["request_id"] for event in events(capsys)] == ["inner", "outer"]


def test_requests_at_the_same_time_keep_their_own_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    log = get_logger("slipway.test")

    async def request(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        with RequestContext(name):
            mine.set()
            await other.wait()
            await asyncio.to_thread(log.info, "in_a_thread", expected=name)

    async def both() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(request("one", one, two), request("two", two, one))

    asyncio.run(both())

    found = events(capsys)
    assert {event["request_id"] for event in found} == {"one", "two"}
    assert all(event["request_id"] == event["expected"] for event in found)


# The form for people


def test_text_format_has_event_fields_and_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")

    try:
        raise ValueError("a fault of ours")
    except ValueError:
        get_logger("slipway.test").exception("unexpected", model="iris")

    first, *rest = capsys.readouterr().err.splitlines()
    assert not first.startswith("{")
    assert all(word in first for word in ("unexpected", "error", "model", "iris", "slipway.test"))
    assert rest[-1] == "ValueError: a fault of ours"


def test_text_in_a_file_has_no_colour_codes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")

    get_logger("slipway.test").info("model_loaded", model="iris")

    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(("log_format", "is_json"), [("auto", False), ("text", False), ("json", True)])
def test_terminal_defaults_to_text_format(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["auto", "json", "text"], is_json: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info", log_format)

    get_logger("slipway.test").info("model_loaded")

    assert terminal.getvalue().startswith("{") is is_json


def test_pipe_defaults_to_json_format(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "auto")

    get_logger("slipway.test").info("model_loaded")

    assert events(capsys)[0]["event"] == "model_loaded"
