"""Read passwords from files and standard input: every account of the machine can read a command line."""

import sys
from pathlib import Path

import typer

STANDARD_INPUT = Path("-")


def refuse_on_command_line(_parameter: typer.CallbackParam, value: str | None) -> None:
    """Reject `--admin-password VALUE`, an option of earlier releases."""
    if value is not None:
        raise typer.BadParameter(
            "every account of this machine can read a password on the command line: use --admin-password-file PATH, "
            "or `--admin-password-file -` for standard input"
        )


def password_of(path: Path, option: str) -> str:
    """Return the password in a file's first line; `-` is standard input.

    Raises:
        typer.BadParameter: the file cannot be read or is empty.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        content = sys.stdin.readline() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is not UTF-8 text", param_hint=option) from error
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}", param_hint=option) from error
    password = content.partition("\n")[0].rstrip("\r")
    if not password:
        raise typer.BadParameter(f"{name} is empty: its first line must be the password", param_hint=option)
    return password
