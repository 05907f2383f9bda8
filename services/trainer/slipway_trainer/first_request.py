"""After the training of a CSV file: the commands that request a prediction for one of its rows."""

import json
import shlex
from pathlib import PurePosixPath

from slipway_core.examples import (
    COMPOSE_PASSWORD,
    PASSWORD_THAT_WAS_READ,
    READ_PASSWORD,
    password_from,
    request_commands,
)
from slipway_trainer.inference.reading import read_table
from slipway_trainer.recipes import Recipe
from slipway_trainer.settings import TrainerSettings
from slipway_trainer.steps.extract import MOUNTED_DATA
from slipway_trainer.typed_columns import read_columns

# The API's port on this machine, if SLIPWAY_URL is not set.
DEFAULT_URL = "http://127.0.0.1:8000"


def next_steps(settings: TrainerSettings, model: str, row: str, data: str | None, password_file: str | None) -> str:
    """Return what to type next: requests by `curl` and by `slipway predict`.

    Args:
        settings: the API's address and the administrator's name.
        model: the name of the served model.
        row: the features of one row, as JSON.
        data: the path of a CSV file with rows of the model; None without one.
        password_file: the file with the administrator's password, if it is known.
    """
    url = (settings.url or DEFAULT_URL).rstrip("/")
    in_container = is_in_container(settings)
    first = ""
    if settings.url is None:
        first = (
            f"The address of the API is unknown, so these commands assume {url}. If it has another address, set "
            "SLIPWAY_URL, or set SLIPWAY_HOME to the folder of `slipway up`.\n\n"
        )
    if password_file is not None:
        password = password_from(password_file)
    elif in_container:
        password = COMPOSE_PASSWORD
    else:
        password = PASSWORD_THAT_WAS_READ
        first += f"Type the password of {settings.admin_username} after this command:\n\n  {READ_PASSWORD}\n\n"
    commands = request_commands(url, model, row, username=settings.admin_username, password=password)
    request = f"{first}Request a prediction for {'a row' if data is None else 'the first row'}:\n\n{commands}\n"
    if data is None:
        return request
    if in_container:  # the path on the host, as far as it is known
        data = data.removeprefix("/") if data.startswith(f"{MOUNTED_DATA}/") else PurePosixPath(data).name
    return (
        f"{request}\nPredict a whole file:\n\n  slipway login {url} --username {shlex.quote(settings.admin_username)}\n"
        f"  slipway predict {model} --csv {shlex.quote(data)} --output predictions.csv\n"
    )


def is_in_container(settings: TrainerSettings) -> bool:
    """Return whether this is the trainer's container of the compose stack."""
    return settings.data_dir.rstrip("/") == MOUNTED_DATA


def example_row(recipe: Recipe, content: bytes) -> str:
    """Return the first row of a CSV file as JSON: an object with the feature names as keys, null for missing values."""
    first = read_table(content, recipe.data_file, recipe.target.name).head(1)
    values, _ = read_columns(recipe, first)
    return json.dumps(values.iloc[0].to_dict(), ensure_ascii=False)
