"""Promotions that Slipway ignores, in a real MLflow server: the API and the commands name them with the remedy."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_api.accounts.models import Role
from slipway_cli.cli import main
from slipway_core.registry.mlflow import MlflowRegistry
from support.api import make_database, running_api
from support.bundles import bundle_files
from support.command import run
from support.versions import add_version
from support.waiting import wait_for

pytestmark = pytest.mark.slow

API = "/api/2.0/mlflow"
# The calls of MLflow's web page, with what Slipway says about each.
PROMOTIONS: dict[str, tuple[str, dict[str, object], str]] = {
    "alias": (
        "registered-models/alias",
        {"alias": "production"},
        "has the alias 'production' at version 1, but Slipway serves 'Production' (capital P)",
    ),
    "stage": (
        "model-versions/transition-stage",
        {"stage": "Production", "archive_existing_versions": False},
        "has version 1 in MLflow's stage 'Production', but Slipway serves the alias 'Production'",
    ),
}


@pytest.fixture(params=PROMOTIONS)
def mistake(request: pytest.FixtureRequest, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The name of a model that was promoted by mistake, and what Slipway says about it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    call, body, finding = PROMOTIONS[request.param]
    name = f"mistaken-{uuid.uuid4().hex}"
    version = add_version(mlflow_url, name, bundle_files(name))
    httpx.post(f"{mlflow_url}{API}/{call}", json={"name": name, "version": version, **body}).raise_for_status()
    return name, finding


@pytest.mark.parametrize(
    ("default", "status"), [(lambda _name: "another", 404), (lambda name: name, 503)], ids=["another", "required"]
)
def test_api_names_a_mistaken_promotion(
    tmp_path: Path, mlflow_url: str, mistake: tuple[str, str], default: Callable[[str], str], status: int
) -> None:
    name, finding = mistake
    settings: dict[str, Any] = {"default_model": default(name), "registry_poll_seconds": 0.5}
    with (
        MlflowRegistry(mlflow_url) as registry,
        running_api(
            tmp_path / "api", registry, make_database(tmp_path / "template.db"), ready=False, **settings
        ) as api,
    ):
        wait_for(lambda: api.app.state.models.aliases.near_miss(name) is not None, what="the list of the registry")
        described = api.get(f"/models/{name}", role=Role.USER)
        paths = [f"/models/{name}/predict", *(["/predict"] if status == 503 else [])]
        answers = [described, *(api.post(path, role=Role.USER, json={"features": [1, 2, 3, 4]}) for path in paths)]

    for answer in answers:
        assert answer.status_code == status
        assert f"{finding}: run 'slipway models promote {name} 1'" in answer.json()["detail"]


def test_commands_name_a_mistaken_promotion(mistake: tuple[str, str]) -> None:
    name, finding = mistake

    for command in (("models", "show", name), ("models", "list")):
        assert f"{name} {finding}: promote it with `slipway models promote {name} 1`." in run(main, *command).output


def test_command_of_the_message_promotes_the_model(mlflow_url: str, mistake: tuple[str, str]) -> None:
    name, finding = mistake

    promoted = run(main, "models", "promote", name, "1")

    assert promoted.output == f"Production of {name} is now version 1.\n"
    assert finding not in run(main, "models", "show", name).output
    with MlflowRegistry(mlflow_url) as registry:
        assert registry.get_model(name).aliases["Production"] == "1"
