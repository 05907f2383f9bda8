"""Texts from a registry, an API or a file: no command passes their escape sequences to the terminal."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.cli import main
from support.command import run
from support.stub_api import StubApi, stub_api
from unit.cli.commands.test_models import VERSION, alias, registry_of

SERVICES = Path(__file__).parents[3] / "services"
EVIL = "\x1b[31mred\x1b]0;title\x07\u202e\x9b1m[link=https://x.example]name[/link]"
# Modules that clean the text that they print.
PRINTERS = {"core/slipway_core/terminal.py", "cli/slipway_cli/output.py"}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    gate = {"checks": [{"name": "floor", "passed": False, "reason": EVIL}]}
    move = {"action": "promote", "version": "1", "from": None, "at": "2026-11-20T12:00:00Z"}
    event = {**move, "by": EVIL, "reason": EVIL}
    model = {
        "name": EVIL,
        "description": EVIL,
        "tags": [{"key": "slipway.event.000001", "value": json.dumps(event)}],
        **alias("1"),
    }
    version = {**VERSION, "description": EVIL, "tags": [{"key": "slipway.gate", "value": json.dumps(gate)}]}
    with stub_api(registry_of(model, version)) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        yield stub


LISTS = [["list"], ["show", EVIL], ["history", EVIL], ["show", "x"]]


@pytest.mark.parametrize(
    "command", [*LISTS, *([*one, "--json"] for one in LISTS), ["promote", EVIL, "1"], ["rollback", EVIL]]
)
def test_models_commands_print_no_escape_sequence(registry: StubApi, command: list[str]) -> None:
    ended = run(main, "models", *command)

    for text in (ended.output, ended.error):
        assert all(character.isprintable() or character == "\n" for character in text), ascii(text)
    assert ended.output + ended.error


def test_every_print_cleans_its_text() -> None:
    unclean = []
    for path in SERVICES.rglob("*.py"):
        name = path.relative_to(SERVICES).as_posix()
        if name in PRINTERS or "/" not in name:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            shown = ast.unparse(node.args[0]) if node.args else ""
            literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
            if called == "Console" or (
                called in {"print", "typer.echo", "click.echo"} and not literal and not shown.startswith("printable(")
            ):
                unclean.append(f"{name}:{node.lineno} {called}({shown})")

    # The lock file's ports, and JSON.
    assert [line for line in unclean if not line.startswith("cli/slipway_cli/embedded/home.py")] == []
