"""The outermost frame of a program: one line on standard error, exit code 1."""

import io
import sys

import pytest

from slipway_core.errors import ConfigurationError, RegistryUnavailableError, SlipwayError
from slipway_core.program import REGISTRY_HINT, exit_on_error

WRONG = ConfigurationError("SLIPWAY_PORT must be a number")
AWAY = RegistryUnavailableError("the registry does not respond")


@pytest.mark.parametrize(
    ("error", "hint_at_registry", "line"),
    [
        (WRONG, True, "Error: SLIPWAY_PORT must be a number\n"),
        (AWAY, False, "Error: the registry does not respond\n"),
        (AWAY, True, f"Error: the registry does not respond: {REGISTRY_HINT}\n"),
        (SlipwayError("\x1b[31mred"), False, "Error: red\n"),
    ],
)
def test_expected_error_prints_one_line_and_exits_with_1(
    error: SlipwayError, hint_at_registry: bool, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, exit_on_error(hint_at_registry=hint_at_registry):
        raise error

    assert ended.value.code == 1
    assert capsys.readouterr().err == line


def test_debug_raises_the_expected_error_itself() -> None:
    with pytest.raises(ConfigurationError), exit_on_error(show_traceback=True):
        raise WRONG


def test_characters_that_an_encoding_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", write_through=True))

    with exit_on_error():
        print("✓ a → é … 日", end="")

    assert raw.getvalue() == b"+ a -> \xe9 ... \\u65e5"


def test_unexpected_error_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_error():
        _ = 1 // 0
