"""`slipway up`: start the embedded stack, train a first model and serve it."""

import importlib.util
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic import ValidationError

from slipway_cli.addresses import MLFLOW_RUNS
from slipway_cli.commands.trainer_process import trainer_command
from slipway_cli.embedded.environments import Environments, environments
from slipway_cli.embedded.home import Home, Ports
from slipway_cli.embedded.private_folder import private_files
from slipway_cli.embedded.signing import make_keys
from slipway_cli.embedded.stack import Stack, StackOptions
from slipway_cli.embedded.stores import artifacts_destination, backend_store_uri, slipway_database_url
from slipway_cli.output import echo
from slipway_cli.passwords import password_of, refuse_on_command_line
from slipway_cli.settings import UpSettings
from slipway_core.bundle import Golden
from slipway_core.errors import ConfigurationError
from slipway_core.examples import password_from, request_commands
from slipway_core.logging import configure_logging
from slipway_core.manifest import GOLDEN_FILE
from slipway_core.policy import why_password_is_unsafe
from slipway_core.settings import load_settings
from slipway_core.signing.files import SIGNING_VARIABLE, TRUSTED_VARIABLE

REGISTRY_WAIT_SECONDS = 120
PASSWORD_OPTION = "--admin-password-file"  # noqa: S105  # a name


def up(
    home: Annotated[
        Path | None, typer.Option(help="The folder for all files of the stack. Defaults to ~/.slipway.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address that the API listens on. Defaults to 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port that the API listens on. Defaults to 8000.", min=1, max=65535)
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(help="MLflow's port on the loopback address. Defaults to 5000.", min=1, max=65535)
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Train this model if it has no Production version; may be repeated. Defaults to iris."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="The API's worker processes; above 1 requires DATABASE_URL. Defaults to 1.", min=1, max=64),
    ] = None,
    admin_password_file: Annotated[
        Path | None,
        typer.Option(
            help="A file whose first line is the administrator's password for the first start; `-` is standard input. "
            "Random by default."
        ),
    ] = None,
    _admin_password: Annotated[
        str | None,
        typer.Option(
            "--admin-password",
            hidden=True,
            callback=refuse_on_command_line,
            help="Rejected: use --admin-password-file.",
        ),
    ] = None,
) -> None:
    """Run MLflow, the trainer and the API on this machine, without Docker.

    The first start trains and promotes a model; later starts reuse it. Ctrl-C stops everything.
    To use PostgreSQL and S3, set MLFLOW_BACKEND_STORE_URI, MLFLOW_ARTIFACTS_DESTINATION and DATABASE_URL.
    Example: `slipway up --port 8080`
    """
    began = time.monotonic()
    recipes = tuple(dict.fromkeys(recipe or ["iris"]))
    _refuse_files(recipes)
    given = {
        "home": home,
        "host": host,
        "port": port,
        "mlflow_port": mlflow_port,
        "workers": workers,
        "admin_password": password_of(admin_password_file, PASSWORD_OPTION) if admin_password_file else None,
    }
    settings = load_settings(UpSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging("warning", settings.log_format)
    _run_stack(settings, recipes, began)
    echo("Everything has stopped.")


def _run_stack(settings: UpSettings, recipes: tuple[str, ...], began: float) -> None:
    """Check the settings, then run the stack until a signal stops it."""
    command = trainer_command("train", "--wait", str(REGISTRY_WAIT_SECONDS))
    if importlib.util.find_spec("slipway_api") is None or importlib.util.find_spec("fastapi") is None:
        raise ConfigurationError("the API is not installed here: run `pip install 'slipway[api]'`")
    folder = Home(settings.home.expanduser().absolute())
    wanted = settings.admin_password.get_secret_value() if settings.admin_password else None
    if wanted is not None and not folder.password_file.exists():  # later starts do not use it
        _require_safe_password(wanted, settings.admin_username)
    options = _stack_options(settings, recipes, folder, command)
    backend_store_uri(settings, folder)  # reject invalid settings before creating anything
    with private_files(), _made(folder).locked(Ports(options.port, options.mlflow_port)):
        make_keys(folder)
        password, is_new = folder.admin_password(wanted)
        stack = Stack(options, folder, _environments(settings, options, folder, password), echo)
        if wanted is not None and wanted != password:
            echo(f"The given password is ignored, because the account already exists; see {folder.password_file}.")

        def welcome(registry_answers: bool) -> None:
            seconds = time.monotonic() - began
            _welcome(settings, options, folder, password if is_new else None, registry_answers, seconds)

        stack.run(welcome)


def _require_safe_password(password: str, username: str) -> None:
    if why := why_password_is_unsafe(password, username):
        raise ConfigurationError(f"the administrator's password {why}")


def _stack_options(
    settings: UpSettings, recipes: tuple[str, ...], folder: Home, command: Sequence[str]
) -> StackOptions:
    options = StackOptions(
        host=settings.host,
        port=settings.port,
        mlflow_port=settings.mlflow_port,
        recipes=recipes,
        default_model=settings.default_model or recipes[0],
        database_url=slipway_database_url(settings, folder),
        trainer_command=tuple(command),
        has_own_registry=settings.mlflow_backend_store_uri is not None,
    )
    if settings.workers > 1 and options.database_url.startswith("sqlite"):
        raise ConfigurationError(
            f"{settings.workers} workers need a database that several processes can write: set DATABASE_URL to "
            "postgresql://USER:PASSWORD@HOST/NAME, or omit --workers"
        )
    return options


def _made(folder: Home) -> Home:
    if note := folder.make():
        echo(note)
    return folder


def _refuse_files(recipes: Sequence[str]) -> None:
    """Reject recipes by path: the stack waits for models by name, and a file must run to know its model's name.

    Raises:
        typer.BadParameter: one is a path.
    """
    for recipe in recipes:
        if recipe.endswith(".py") or "/" in recipe:
            raise typer.BadParameter(
                f"`slipway up` accepts recipes by name only, and {recipe} is a path: train it with "
                f"`slipway train {shlex.quote(recipe)}` once the stack runs",
                param_hint="--recipe",
            )


def _environments(settings: UpSettings, options: StackOptions, home: Home, password: str) -> Environments:
    key = settings.secret_key.get_secret_value() if settings.secret_key else home.secret_key()
    return environments(
        os.environ,
        {
            "MLFLOW_TRACKING_URI": options.mlflow_url,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # The stack's processes connect over loopback, never through a proxy.
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
            "SLIPWAY_CACHE_DIR": str(home.cache),
            "SLIPWAY_JOURNAL_DIR": str(home.journal),
            "SLIPWAY_DEFAULT_MODEL": options.default_model,
            "SLIPWAY_HOST": options.host,
            "SLIPWAY_PORT": str(options.port),
            "SLIPWAY_WORKERS": str(settings.workers),
        },
        stores={
            "MLFLOW_BACKEND_STORE_URI": backend_store_uri(settings, home),
            "MLFLOW_ARTIFACTS_DESTINATION": artifacts_destination(settings, home),
        },
        api_secrets={
            "SECRET_KEY": key,
            "DATABASE_URL": options.database_url,
            "SLIPWAY_ADMIN_USERNAME": settings.admin_username,
            "SLIPWAY_ADMIN_PASSWORD": password,
            SIGNING_VARIABLE: str(home.events_key),
            TRUSTED_VARIABLE: str(home.trusted_keys),
        },
        trainer_secrets={SIGNING_VARIABLE: str(home.bundle_key), TRUSTED_VARIABLE: str(home.trusted_keys)},
    )


def _command() -> str:
    """Return the command that calls `slipway` from another terminal, without the active environment."""
    own = Path(sys.executable).with_name("slipway")
    return shlex.quote(str(own)) if own.exists() else "slipway"


def example_row(home: Home, model: str) -> str:
    """Return an example row of the served model as JSON: each model has other features."""
    # The API names the folder after the model and escapes characters that file systems reject.
    files = sorted(home.cache.glob(f"{quote(model, safe=' ')}/*/{GOLDEN_FILE}"), key=lambda file: file.stat().st_mtime)
    try:
        row = Golden.model_validate_json(files[-1].read_bytes()).rows[0]
    except (IndexError, OSError, ValidationError):
        return "[…]"
    # Short decimals that convert back to the same float32 numbers.
    return json.dumps([float(f"{value:.6g}") if isinstance(value, float) else value for value in row])


def _welcome(
    settings: UpSettings,
    options: StackOptions,
    home: Home,
    new_password: str | None,
    registry_answers: bool,
    seconds: float,
) -> None:
    url = options.api_url
    shown = (
        f"{new_password}   (later starts do not print it; it is in {home.password_file})"
        if new_password
        else f"in {home.password_file}"
    )
    commands = request_commands(
        url,
        options.default_model,
        example_row(home, options.default_model),
        username=settings.admin_username,
        password=password_from(str(home.password_file)),
    )
    # The command finds the signing key of the stack in its folder.
    is_default = home.root == UpSettings.model_fields["home"].default.expanduser()
    variables = f"MLFLOW_TRACKING_URI={options.mlflow_url}"
    variables += "" if is_default else f" SLIPWAY_HOME={shlex.quote(str(home.root))}"
    registry = "" if registry_answers else "   (still starting; the API serves its cached model)"
    echo(
        f"""
Slipway is ready after {seconds:.1f} s.

  API       {url}   (try it in the browser: {url}/docs)
  MLflow    {options.mlflow_url}{MLFLOW_RUNS}{registry}
  Account   {settings.admin_username}
  Password  {shown}
  Logs      {home.logs}

Send a request from another terminal:

{commands}

Train again with:  {variables} {_command()} train {options.recipes[0]}
Train your own:    {variables} {_command()} train FILE.csv --target COLUMN
Ctrl-C stops everything.
"""
    )
