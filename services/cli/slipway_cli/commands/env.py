"""`slipway env`: random secrets for a deployment."""

import os
from pathlib import Path
from typing import Annotated

import typer

from slipway_cli.output import echo
from slipway_core.errors import ConfigurationError
from slipway_core.policy import new_key, new_password


def env(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, such as `.env`. Defaults to standard output."),
    ] = None,
) -> None:
    """Generate random secrets: the key that signs tokens, and the first administrator's password.

    Never overwrites an existing file. Example: `slipway env --output .env`
    """
    content = f"SECRET_KEY={new_key()}\nSLIPWAY_ADMIN_PASSWORD={new_password()}\n"
    if output is None:
        echo(content, nl=False)
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(content)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{output} already exists and may hold secrets in use: name another file with --output"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
    echo(f"Wrote SECRET_KEY and SLIPWAY_ADMIN_PASSWORD to {output}; .env.example lists all settings.")
