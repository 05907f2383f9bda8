"""Printable text: escape sequences are removed, and all other text is unchanged."""

import io
import json
import logging
import sys

import pytest
from rich.table import Table
from rich.text import Text

from slipway_core.logging import configure_logging, get_logger
from slipway_core.printable import escape_json, printable, printable_line
from slipway_core.terminal import SafeConsole

HOSTILE = [
    "\x1b[31miris\x1b[0m",
    "\x1b[2J\x1b[1;1Hiris",
    "\x1b]0;title\x07iris",
    "\x1b]8;;https://evil.example\x1b\\iris\x1b]8;;\x1b\\",
    "\x1bP$q\x1b\\iris",
    "\x1bciris",
    "\x9b31miris\x9b0m",
    "\x9d0;title\x9ciris",
    "ir\x08is\x00\x7f",
    "\riris",
    "\u202eiris\u202c",
    "\u2066iris\u2069\u200f",
    "iris\u2028",
    "iris\ud800",
    "\x1b[31\x1b[0miris",
    "iris\x1b",
]
hostile = pytest.mark.parametrize("text", HOSTILE, ids=ascii)


def is_safe(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in text)


@hostile
def test_printable_removes_escape_sequences(text: str) -> None:
    assert "iris" in printable(text)
    assert is_safe(printable(text))
    assert "31m" not in printable(text)
    assert "evil" not in printable(text)


@pytest.mark.parametrize("text", ["iris", "[red]iris[/]", "Größe\tin µm\nnext", "花 🌸 👩\u200d🔬", "a\u0301", ""])
def test_printable_keeps_ordinary_text(text: str) -> None:
    assert printable(text) == text


def test_printable_line_keeps_one_line() -> None:
    assert printable_line("iris\n2026-11-20 [info] forged\x1b[0m") == "iris 2026-11-20 [info] forged"


@hostile
def test_json_escapes_control_characters(text: str) -> None:
    document = escape_json(json.dumps({"name": text}, ensure_ascii=False))

    assert json.loads(document) == {"name": text}
    assert all(character.isprintable() or character == "\ud800" for character in document)


@hostile
@pytest.mark.parametrize("holder", ["cell", "header", "title", "string", "text"])
def test_console_prints_no_escape_sequence(text: str, holder: str) -> None:
    stream = io.StringIO()
    name = f"[link=https://evil.example]{text}[/link]"
    table = Table(name if holder == "header" else "name", title=name if holder == "title" else None)
    table.add_row(name if holder == "cell" else "other")
    shown: object = {"string": name, "text": Text(name, style="bold")}.get(holder, table)

    SafeConsole(file=stream).print(shown, soft_wrap=True)

    assert "iris" in stream.getvalue()
    assert "[link=" in stream.getvalue()
    assert is_safe(stream.getvalue())


@hostile
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_hold_no_escape_sequence(
    text: str, log_format: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    configure_logging("info", log_format)  # type: ignore[arg-type]
    try:
        get_logger("test").info("model_loaded", model=text, names=[text])
        logging.getLogger("other").warning("cannot load %s", text)
        try:
            raise ValueError(text.encode(errors="replace").decode())
        except ValueError:
            get_logger("test").exception("model_failed")
    finally:
        root.setLevel(level)

    logged = capsys.readouterr().err
    assert "model_loaded" in logged
    assert "cannot load" in logged
    assert is_safe(logged), ascii(logged)
    assert sys.stderr.isatty() is False
