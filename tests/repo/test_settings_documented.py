"""Every setting is in the catalogue, in .env.example and in docs/settings.md with its default, and no other is."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from slipway_api.settings import ApiSettings
from slipway_cli.settings import ClientSettings, UpSettings
from slipway_cli.stack_jobs.settings import AlertSettings, InitSettings
from slipway_core.registry.settings import RegistrySettings
from slipway_core.settings import ServiceSettings, variable_of
from slipway_core.variables import FILE_VARIABLES, PREFIX, VARIABLES
from slipway_trainer.settings import TrainerSettings
from support.compose import interpolated

ROOT = Path(__file__).parents[2]
SETTINGS: tuple[type[ServiceSettings], ...] = (
    ApiSettings,
    TrainerSettings,
    ClientSettings,
    RegistrySettings,
    UpSettings,
    InitSettings,
    AlertSettings,
)


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_variables() -> set[str]:
    return {variable_of(settings, name) for settings in SETTINGS for name in settings.model_fields}


def documented() -> dict[str, str]:
    """Return the default of each variable, as the tables of docs/settings.md show it."""
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)`(?: \\\*)? \| (.+?) \|", page, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable is documented twice"
    return dict(rows)


def test_settings_page_lists_every_variable_and_no_other() -> None:
    assert set(documented()) == read_variables() | set(interpolated())


def test_settings_page_shows_the_defaults() -> None:
    required = {
        variable_of(settings, name)
        for settings in (ApiSettings, RegistrySettings)
        for name, field in settings.model_fields.items()
        if field.is_required()
    }
    shown = documented()

    assert {name: shown[name] for name in required} == dict.fromkeys(required, "required")
    wrong = {
        name: (shown[name], default)
        for name, default in example().items()
        if default and name not in required and shown[name] != f"`{default}`"
    }
    assert wrong == {}


def test_settings_page_marks_variables_that_files_may_set() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    marked = set(re.findall(r"^\| `([A-Z_]+)` \\\* \|", page, re.MULTILINE))

    assert marked == {
        variable_of(settings, name) for settings in SETTINGS for name in getattr(settings, "file_fields", frozenset())
    }


def test_the_catalogue_is_what_the_settings_read() -> None:
    assert {name for name in read_variables() if name.startswith(PREFIX)} == VARIABLES


def test_the_catalogue_knows_which_may_come_from_a_file() -> None:
    readable = {
        variable_of(settings, name) for settings in SETTINGS for name in getattr(settings, "file_fields", frozenset())
    }

    assert {name for name in readable if name.startswith(PREFIX)} == FILE_VARIABLES


def test_the_example_lists_every_variable_and_no_other() -> None:
    assert set(example()) == read_variables() | set(interpolated())


def test_the_example_shows_the_defaults_of_the_compose_file() -> None:
    values = example()

    # One that two read, as MLflow's artifacts, has the stack's default there and its own here.
    own = {name: default for name, default in interpolated().items() if name not in read_variables()}

    assert {name: values[name] for name in own} == own


def test_every_variable_of_the_example_has_a_comment() -> None:
    blocks = (ROOT / ".env.example").read_text(encoding="utf-8").split("\n\n")

    bare = [block for block in blocks if re.search(r"^[A-Z_]+=", block, re.MULTILINE) and not block.startswith("#")]

    assert bare == []


def test_secrets_are_empty_in_the_example() -> None:
    values = example()

    given = [
        variable_of(settings, name)
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
        if field.annotation in {SecretStr, SecretStr | None}
        and variable_of(settings, name) != "DATABASE_URL"
        and values[variable_of(settings, name)]
    ]

    assert given == []


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_example_shows_the_defaults(settings: type[ServiceSettings]) -> None:
    values = example()
    wrong = {}
    for name, field in settings.model_fields.items():
        default = field.default
        if field.is_required() or default is None or default == ():
            continue
        shown = values[variable_of(settings, name)]
        text = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
        if isinstance(default, bool):
            text = text.lower()
        if isinstance(default, float):
            text = f"{default:g}"
        if shown != text:
            wrong[variable_of(settings, name)] = (shown, text)

    assert wrong == {}


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_is_described(settings: type[ServiceSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []
