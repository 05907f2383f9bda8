"""Models logged by plain MLflow code, registered with one command each and served: the answers are their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_core.manifest import label_text
from slipway_core.registry import PRODUCTION
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_trainer.cli import main
from support.api import Database, RunningApi, make_database, running_api
from support.command import run
from support.foreign import CASES, Foreign
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return make_database(tmp_path_factory.mktemp("database") / "template.db")


@pytest.fixture(scope="module")
def registry(mlflow_url: str) -> Iterator[MlflowRegistry]:
    with MlflowRegistry(mlflow_url) as registry:
        yield registry


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, registry: MlflowRegistry, database: Database) -> Iterator[RunningApi]:
    with running_api(tmp_path_factory.mktemp("api"), registry, database, ready=False) as api:
        yield api


def cells(frame: pd.DataFrame) -> list[list[Any]]:
    """Return rows as a client sends them."""
    return [
        [None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value for value in row]
        for row in frame.itertuples(index=False, name=None)
    ]


def check_answers(api: RunningApi, name: str, foreign: Foreign) -> None:
    """Compare the answers for some rows with the model's own predictions."""
    rows = foreign.rows.iloc[::5].reset_index(drop=True)
    wait_for(lambda: api.get(f"/models/{name}", role=Role.USER).is_success, what=name)

    answer = api.post(f"/models/{name}/predict", role=Role.USER, json={"features": cells(rows)})

    assert answer.status_code == 200, answer.text
    found, own = answer.json(), foreign.predict(rows)
    if foreign.probabilities is None:
        assert np.allclose(found["prediction"], np.asarray(own, dtype=float).ravel(), rtol=1e-5)
        return
    assert list(map(label_text, found["label"])) == [
        label_text(getattr(one, "item", lambda one=one: one)()) for one in own
    ]
    assert np.abs(np.array(found["probabilities"]) - foreign.probabilities(rows)).max() <= 1e-5


@pytest.mark.parametrize("case", CASES)
def test_registered_model_answers_as_itself(
    case: str,
    tmp_path: Path,
    mlflow_url: str,
    registry: MlflowRegistry,
    api: RunningApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    foreign = CASES[case]()
    foreign.log(mlflow_url, f"their-{case}")
    data = tmp_path / "rows.csv"
    foreign.rows.assign(answer=foreign.target).to_csv(data, index=False)
    given = ("--data", str(data), "--target", "answer") if foreign.with_data else ()

    ended = run(main, "register", case, "--model", f"models:/their-{case}/1", *given, *foreign.options)

    # The API logs to standard error, too.
    assert (ended.exit_code, "Error" in ended.error) == (0, False), ended.output + ended.error
    assert f"Production of {case} is now version 1" in ended.output
    assert f"/models/{case}/predict" in ended.output
    assert registry.get_model(case).aliases[PRODUCTION] == "1"
    check_answers(api, case, foreign)
