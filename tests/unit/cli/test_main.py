"""The command `slipway` as a whole: version, help, exit codes, and errors in one sentence."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

import slipway_core
from slipway_cli.cli import app, main
from slipway_core.errors import ConfigurationError
from support.command import run


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yield each command without subcommands, by its words; Typer does not export their type."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)
    if not hasattr(command, "commands"):
        yield " ".join(path), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_list_of_commands() -> None:
    assert COMMANDS.keys() == {
        "up",
        "train",
        "recipes",
        "recipe new",
        "register",
        "login",
        "logout",
        "predict",
        "backup",
        "restore",
        "env",
        "doctor",
        "users list",
        "users add",
        "users disable",
        "users enable",
        "users role",
        "users password",
        "users delete",
        "users events",
        "keys add",
        "keys list",
        "keys revoke",
        "models list",
        "models show",
        "models promote",
        "models rollback",
        "models stage",
        "models unstage",
        "models history",
        "signing create",
        "signing show",
        "signing sign",
        "signing sign-existing",
    }


def test_version_of_the_package_is_printed() -> None:
    ended = run(main, "--version")

    assert (ended.exit_code, ended.output) == (0, f"slipway {slipway_core.__version__}\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example_of_it(command: str, option: str) -> None:
    ended = run(main, *command.split(), option)

    assert ended.exit_code == 0
    assert re.search(rf"Example:\s+`slipway {command}\b", ended.output)


def test_no_option_accepts_a_secret() -> None:
    words = ("password", "token", "secret", "key")
    secrets = {
        (command, option.opts[0]): option
        for command, found in COMMANDS.items()
        for option in found.params
        if any(word in name for name in option.opts if name.startswith("-") for word in words)
    }

    assert ("up", "--admin-password-file") in secrets
    assert [
        name for name, option in secrets.items() if not (option.is_flag or option.hidden or name[1].endswith("-file"))
    ] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command: str) -> None:
    assert all(parameter.help for parameter in COMMANDS[command].params)


@pytest.mark.parametrize("arguments", [(), ("models",), ("users",)])
def test_without_a_command_the_help_is_shown(arguments: tuple[str, ...]) -> None:
    ended = run(main, *arguments)

    assert ended.exit_code == 2
    assert "Usage:" in ended.output + ended.error
    assert "Commands" in ended.output + ended.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("--bogus",),
        ("models", "bogus"),
        ("models", "list", "--bogus"),
        ("models", "show"),
        ("models", "promote", "iris"),
        ("models", "rollback"),
        ("models", "history"),
        ("train",),
        ("train", "iris", "--promote", ""),
        ("train", "iris", "--promote", "Auto"),
        ("users", "role", "uma", "root"),
        ("users", "add", "alice", "--role", "boss"),
        ("login",),
        ("predict",),
        ("up", "--port", "0"),
        ("up", "--port", "65536"),
        ("up", "--mlflow-port", "many"),
        ("env", "--output"),
        ("backup",),
        ("restore",),
    ],
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    ended = run(main, *arguments)

    assert ended.exit_code == 2
    assert ended.output == ""
    assert "Error" in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("models ")])
def test_registry_commands_name_the_missing_setting(command: str) -> None:
    arguments = {"models list": (), "models promote": ("iris", "1"), "models stage": ("iris", "1")}

    ended = run(main, *command.split(), *arguments.get(command, ("iris",)))

    assert ended.exit_code == 1
    assert ended.output == ""
    assert re.fullmatch(r"Error: MLFLOW_TRACKING_URI is not set\. .*http://127\.0\.0\.1:5000\.\n", ended.error)


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "sqlite:///mlflow.db", "http://127.0.0.1:port"])
def test_invalid_registry_address_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    ended = run(main, "models", "list")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")
    assert len(ended.error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "list"),
        ("login", "http://127.0.0.1:1", "--username", "ada"),
        ("users", "add", "bob"),
        ("predict", "iris", "--features", "1,2"),
        ("up",),
        ("backup", "backup.tar.gz"),
        ("restore", "--yes", "backup.tar.gz"),
    ],
)
def test_misspelled_variable_is_reported_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SLIPWAY_TOKNE", "x")

    ended = run(main, *arguments)

    assert ended.exit_code == 1
    assert ended.error == "Error: SLIPWAY_TOKNE is not a setting of Slipway; did you mean SLIPWAY_TOKEN?\n"


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI is not set"):
        run(main, "--debug", "models", "list")


def test_debug_without_an_error_changes_nothing() -> None:
    assert run(main, "--debug", "env").exit_code == 0
