"""The checks of `slipway doctor` of foreign models and mistaken promotions."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import yaml
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway_cli.cli import main
from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.findings import Finding
from slipway_cli.doctor.models import check_content
from slipway_core.bundle import MLMODEL_FILE
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import PRODUCTION, RegisteredModel
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.mistaken_promotions import mistaken_promotion
from support.bundles import linear_classifier
from support.command import run
from support.stub_api import Answer, stub_api

ROWS = np.eye(4, dtype=np.float32)
REGISTER = "slipway register iris --model models:/iris/1"


@dataclass(frozen=True)
class Staged(RegisteredModel):
    """A model with MLflow's stages."""

    stages: dict[str, str] = field(default_factory=dict)


def classifier(*, labels: tuple[object, object], zipmap: bool) -> bytes:
    """Return a classifier as skl2onnx exports it."""
    fitted = LogisticRegression().fit(ROWS, [labels[0], labels[1], labels[0], labels[1]])
    exported: bytes = to_onnx(fitted, ROWS, options={"zipmap": zipmap}).SerializeToString()
    return exported


def mlmodel(*flavors: str) -> bytes:
    return yaml.safe_dump({"flavors": {name: {} for name in (*flavors, "python_function")}}).encode()


def judged(files: dict[str, bytes], *, allows_unverified: bool = True) -> Finding:
    """Return the first finding about a version that was logged and promoted with MLflow alone."""
    registry = InMemoryRegistry()
    registry.add_version("iris", files)
    registry.set_alias("iris", PRODUCTION, "1")
    return next(iter(check_content(registry, "iris", allows_unverified=allows_unverified)))


@pytest.mark.parametrize(
    "model",
    [linear_classifier(), classifier(labels=(0, 1), zipmap=True), classifier(labels=("no", "yes"), zipmap=True)],
)
def test_unverified_model_is_ok_if_the_setting_allows_it(model: bytes) -> None:
    files = {MLMODEL_FILE: mlmodel("onnx"), MODEL_FILE: model}

    allowed, refused = judged(files), judged(files, allows_unverified=False)

    assert (allowed.status, refused.status) == ("ok", "broken")
    assert "SLIPWAY_ALLOW_UNVERIFIED_MODELS=true" in refused.mend
    assert f"`{REGISTER}`" in refused.mend


@pytest.mark.parametrize(("value", "allows"), [("true", True), ("1", True), ("false", False), (None, False)])
def test_the_doctor_reads_the_setting(monkeypatch: pytest.MonkeyPatch, value: str | None, allows: bool) -> None:
    if value is not None:
        monkeypatch.setenv("SLIPWAY_ALLOW_UNVERIFIED_MODELS", value)

    assert read_context({}).allows_unverified_models is allows


@pytest.mark.parametrize(
    ("files", "what", "mend"),
    [
        ({MLMODEL_FILE: mlmodel("sklearn")}, "was logged with mlflow.sklearn, but the API", f"`{REGISTER} --trust`"),
        ({MLMODEL_FILE: mlmodel("xgboost")}, "was logged with mlflow.xgboost, but the API", f"`{REGISTER} --trust`"),
        ({MLMODEL_FILE: mlmodel()}, "was logged with mlflow.pyfunc, but the API", f"`{REGISTER} --trust`"),
        ({MLMODEL_FILE: b"{"}, "has no SHA-256", "slipway train"),
        ({MLMODEL_FILE: b"flavors: 3"}, "has no SHA-256", "slipway train"),
        ({}, "has no SHA-256", "slipway train"),
        ({MLMODEL_FILE: mlmodel("onnx")}, "has no file model.onnx", "log a corrected graph"),
        (
            {MLMODEL_FILE: mlmodel("onnx"), MODEL_FILE: b"x"},
            "cannot be loaded: it is not a valid ONNX",
            "log a corrected",
        ),
    ],
)
def test_a_model_that_cannot_be_served_is_explained(files: dict[str, bytes], what: str, mend: str) -> None:
    finding = judged(files)

    assert finding.status == "broken"
    assert what in finding.what
    assert mend in finding.mend


MISSES = [
    (RegisteredModel("iris", aliases={"production": "3"}), "slipway models promote iris 3"),
    (RegisteredModel("iris", aliases={"PRODUCTION": "2", "champion": "3"}), "slipway models promote iris 2"),
    (RegisteredModel("my iris", aliases={"production": "3"}), "slipway models promote 'my iris' 3"),
    (Staged("iris", stages={"Production": "4", "Staging": "5"}), "slipway models promote iris 4"),
    (Staged("iris", aliases={"production": "3"}, stages={"Production": "4"}), "slipway models promote iris 3"),
]


@pytest.mark.parametrize(("model", "command"), MISSES)
def test_mistaken_promotion_names_the_correcting_command(model: RegisteredModel, command: str) -> None:
    class Registry(InMemoryRegistry):
        def list_models(self) -> list[RegisteredModel]:
            return [model]

    (finding,) = check_content(Registry(), model.name)

    assert finding.status == "warning"
    assert finding.mend == f"promote it with `{command}`"


@pytest.mark.parametrize(
    "model",
    [
        RegisteredModel("iris"),
        RegisteredModel("iris", aliases={"champion": "3"}),
        RegisteredModel("iris", aliases={"production": "3", "Production": "2"}),
        Staged("iris", stages={"Staging": "3", "Archived": "2"}),
        Staged("iris", aliases={"Production": "3"}, stages={"Production": "2"}),
    ],
)
def test_model_without_mistaken_promotion_has_none(model: RegisteredModel) -> None:
    assert mistaken_promotion(model) is None


@pytest.mark.parametrize("command", [("list",), ("show", "iris")])
def test_models_command_notes_a_mistaken_promotion(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    model = {"name": "iris", "aliases": [{"alias": "production", "version": "3"}]}
    answers = {
        "registered-models/search": {"registered_models": [model]},
        "registered-models/get": {"registered_model": model},
        "model-versions/search": {"model_versions": [{"name": "iris", "version": "3"}]},
    }
    with stub_api(lambda asked: Answer(answers[asked.path.partition("?")[0].rpartition("/mlflow/")[2]])) as stub:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stub.url)
        ended = run(main, "models", *command)

    assert ended.exit_code == 0
    assert "promote it with `slipway models promote iris 3`" in ended.output
