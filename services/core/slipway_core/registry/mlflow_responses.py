"""Parse MLflow's JSON responses strictly: an unexpected shape is a registry error, not a missing model."""

import math
from collections.abc import Mapping
from typing import Any

from slipway_core.errors import RegistryError
from slipway_core.registry.base import ModelVersion, RegisteredModel

TOKEN = "next_page_token"  # noqa: S105  # the name of a field
NO_STAGE = "None"
MAX_DIGITS = 18
# Python's dates end in the year 9999.
MAX_SECONDS = 253_402_300_800


def page(answer: Mapping[str, Any], key: str) -> tuple[list[Any], str]:
    """Return the items of one page and the token of the next page, "" for the last one.

    MLflow omits empty fields, so `{}` is an empty page. A response with other keys but without `key` is not MLflow's.

    Raises:
        RegistryError: the response has an unexpected shape.
    """
    if key not in answer and answer.keys() - {TOKEN}:
        raise _unexpected(key)
    items, token = answer.get(key, []), answer.get(TOKEN, "")
    if not isinstance(items, list):
        raise _unexpected(key)
    if not isinstance(token, str):
        raise _unexpected(TOKEN)
    return items, token


def item(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under a key of a response.

    Raises:
        RegistryError: the key is missing.
    """
    return _object(answer.get(key), key)


def registered_model(item: object) -> RegisteredModel:
    """Parse a registered model.

    Raises:
        RegistryError: the item has an unexpected shape.
    """
    fields = _object(item, "registered_model")
    aliases = [_object(one, "aliases") for one in _list(fields, "aliases")]
    latest = [_object(one, "latest_versions") for one in _list(fields, "latest_versions")]
    stages = [(_text(one, "current_stage"), _version_number(one)) for one in latest]
    return RegisteredModel(
        name=_name(fields),
        description=_text(fields, "description"),
        aliases={_text(one, "alias", required=True): _version_number(one) for one in aliases},
        tags=_tags(fields),
        created_at=_seconds(fields, "creation_timestamp"),
        stages={stage: number for stage, number in stages if stage not in {"", NO_STAGE}},
    )


def model_version(item: object) -> ModelVersion:
    """Parse a model version.

    Raises:
        RegistryError: the item has an unexpected shape.
    """
    fields = _object(item, "model_version")
    return ModelVersion(
        name=_name(fields),
        version=_version_number(fields),
        run_id=_text(fields, "run_id"),
        description=_text(fields, "description"),
        tags=_tags(fields),
        created_at=_seconds(fields, "creation_timestamp"),
    )


def _tags(fields: Mapping[str, Any]) -> dict[str, str]:
    tags = [_object(one, "tags") for one in _list(fields, "tags")]
    return {_text(tag, "key", required=True): _text(tag, "value") for tag in tags}


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected(what)
    return value


def _list(fields: Mapping[str, Any], key: str) -> list[Any]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise _unexpected(key)
    return value


def _text(fields: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = fields.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise _unexpected(key)
    return value


def _name(fields: Mapping[str, Any]) -> str:
    name = _text(fields, "name", required=True)
    if not name:
        raise _unexpected("name")
    return name


def _version_number(fields: Mapping[str, Any]) -> str:
    """Return the version: a whole number, sent as text or as a number."""
    value = fields.get("version")
    text = (
        str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_DIGITS else value
    )
    if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise _unexpected("version")
    return text


def _seconds(fields: Mapping[str, Any], key: str) -> float:
    """Convert milliseconds, sent as a number or as text, to seconds."""
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _unexpected(key)
    try:
        seconds = float(value) / 1000
    except (ValueError, OverflowError) as error:
        raise _unexpected(key) from error
    if not (math.isfinite(seconds) and 0 <= seconds < MAX_SECONDS):
        raise _unexpected(key)
    return seconds


def _unexpected(what: str) -> RegistryError:
    return RegistryError(
        f"the model registry sent an unexpected {what!r}: check that MLFLOW_TRACKING_URI is the address of MLflow"
    )
