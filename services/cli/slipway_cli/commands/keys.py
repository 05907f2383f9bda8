"""`slipway keys`: create, list and revoke API keys."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from slipway_cli.api_client import api_client
from slipway_cli.identity import identify
from slipway_cli.output import echo, print_json, print_table
from slipway_cli.settings import ClientSettings
from slipway_client import Client, NewApiKey
from slipway_core.atomic_file import write_secret
from slipway_core.errors import ConfigurationError
from slipway_core.settings import load_settings

NEVER = "never"
UNIT_SECONDS = {"h": 3600, "d": 86_400}

keys = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys, with which programs call the API.")


class Action(StrEnum):
    """What a key permits."""

    PREDICT = "predict"
    READ = "read"
    FEEDBACK = "feedback"
    RELOAD = "reload"
    PROMOTE = "promote"


def _lifetime(text: str) -> int | str:
    """Return a lifetime in seconds, or `never`."""
    if text == NEVER:
        return NEVER
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hd])", text)
    if found is None:
        raise typer.BadParameter("write a number of hours or days such as 12h or 30d, or never")
    return int(found[1]) * UNIT_SECONDS[found[2]]


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Which program uses the key.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model that the key permits; repeatable. Defaults to all.")
    ] = None,
    action: Annotated[
        list[Action] | None,
        typer.Option("--action", help="What the key permits; repeatable. Defaults to predict."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Lifetime, such as 12h or 30d, or never. Defaults to 90 days.")
    ] = None,
    description: Annotated[str, typer.Option(help="A note about the key.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the key to this file, readable by you only, instead of printing it.")
    ] = None,
) -> None:
    """Create an API key. It is shown only once: on standard output, or in a file.

    Example: `slipway keys add nightly-scores --model iris --expires 30d`
    """
    options: dict[str, object] = {"description": description}
    if model:
        options["models"] = model
    if action:
        options["actions"] = action
    if expires is not None:
        options["expires_in"] = _lifetime(expires)
    with _client() as client:
        created = client.add_key(name, **options)
        if out is not None:
            _store(client, created, out)
    if out is None:
        echo(created["key"])
    where = "Store it now: it is not shown again." if out is None else f"It is stored in {out}."
    echo(f"Created the key {created['id']} for {name}. It expires: {_moment(created['expires_at'])}. {where}", err=True)


@keys.command("list")
def list_keys(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:  # a flag
    """List your API keys, or all keys if you are an admin. Example: `slipway keys list`."""
    with _client() as client:
        found = list(client.api_keys())
    if as_json:
        print_json(found)
        return
    table = Table("name", "owner", "models", "actions", "expires", "last use", "id", box=SIMPLE)
    for key in found:
        models = "all" if key["models"] is None else ", ".join(key["models"])
        expires = "expired" if key["expired"] else _moment(key["expires_at"]).removesuffix(" UTC")
        used = "–" if key["last_used_at"] is None else key["last_used_at"][:16].replace("T", " ")
        table.add_row(key["name"], key["owner"], models, ", ".join(key["actions"]), expires, used, key["id"])
    print_table(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `slipway keys list` shows it.")],
) -> None:
    """Revoke an API key. All workers reject it within 5 s. Example: `slipway keys revoke ID`."""
    with _client() as client:
        client.revoke_key(key_id)
    echo(f"Revoked the key {key_id}.")


def _store(client: Client, created: NewApiKey, path: Path) -> None:
    """Write a key to a file. A key that cannot be stored is lost, so it is revoked."""
    try:
        write_secret(path, created["key"])
    except OSError as error:
        client.revoke_key(created["id"])
        raise ConfigurationError(f"the key cannot be stored in {path}, so it is revoked: {error.strerror}") from error


def _moment(moment: str | None) -> str:
    return NEVER if moment is None else f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@contextmanager
def _client() -> Iterator[Client]:
    identity = identify(load_settings(ClientSettings))
    with api_client(identity.url, identity.token) as client:
        yield client
