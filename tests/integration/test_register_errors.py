"""`slipway register`: each wrong input gets one sentence with what to do, and registers nothing."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from slipway_core.registry import PRODUCTION
from slipway_core.registry.gate_result import gate_result_of
from slipway_core.registry.mlflow import MlflowRegistry
from slipway_trainer.cli import main
from support.command import Ended, run
from support.foreign import iris

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS, SPECIES = iris().iloc[:, :4], iris()["target"]
THEIRS = "models:/their-iris/1"


@pytest.fixture(scope="module")
def theirs(mlflow_url: str) -> str:
    """Log a model, a pickle of it and a Python function; return the id of the first run."""
    from mlflow import pyfunc, sklearn  # noqa: PLC0415  # they warn of their own types

    class Constant(pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    mlflow.set_tracking_uri(mlflow_url)
    model = LogisticRegression(max_iter=500).fit(ROWS, SPECIES)
    signature = infer_signature(ROWS, model.predict(ROWS))
    with mlflow.start_run() as run_of_model:
        sklearn.log_model(
            model, name="model", registered_model_name="their-iris", signature=signature, pip_requirements=[]
        )
        sklearn.log_model(
            model,
            name="pickle",
            registered_model_name="their-pickle",
            serialization_format="cloudpickle",
            pip_requirements=[],
        )
        pyfunc.log_model(
            name="function", registered_model_name="their-function", python_model=Constant(), pip_requirements=[]
        )
        mlflow.log_dict({"a": 1}, "notes/notes.json")
    return str(run_of_model.info.run_id)


@pytest.fixture
def registry(mlflow_url: str, theirs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowRegistry]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    with MlflowRegistry(mlflow_url) as registry:
        yield registry


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Rows of the model with the species."""
    file = tmp_path / "rows.csv"
    ROWS.assign(species=SPECIES).to_csv(file, index=False)
    return str(file)


# The options after the name; `{run}` and `{data}` stand for the run and the file.
WRONG = {
    "an unknown model": (("--model", "models:/their-irs/1"), "no model 'their-irs'; did you mean 'their-iris'?"),
    "an unknown version": (("--model", "models:/their-iris/9"), "'their-iris' has no version 9; its versions are: 1"),
    "an unknown alias": (("--model", "models:/their-iris@best"), "has no alias 'best'; its aliases are: none"),
    "an unknown run": (("--model", f"runs:/{'0' * 32}/model"), f"the run {'0' * 32} does not exist"),
    "an unknown path in a run": (("--model", "runs:/{run}/modl"), "runs:/{run}/modl cannot be downloaded"),
    "a folder that is not a model": (("--model", "runs:/{run}/notes"), "has no MLmodel file"),
    "no address": (("--model", "their-iris"), "'their-iris' is not the address of a model; pass models:/NAME/VERSION"),
    "a Python function": (
        ("--model", "models:/their-function/1"),
        "models:/their-function/1 is a Python function only (mlflow.pyfunc), and Slipway registers models of",
    ),
    "a pickle": (
        ("--model", "models:/their-pickle/1", "--data", "{data}", "--target", "species"),
        "is a pickle, and loading a pickle runs the code in it, with the rights of the trainer",
    ),
    "a trusted pickle without rows": (("--model", "models:/their-pickle/1", "--trust"), "pass a CSV file"),
    "no file": (("--onnx", "no-such.onnx"), "no-such.onnx is not a file; check the path"),
    "a file of another format": (("--onnx", "{data}"), "rows.csv cannot be read as an ONNX model"),
    "no data": (("--model", THEIRS, "--data", "no-such.csv"), "no-such.csv does not exist"),
    "an unknown target": (
        ("--model", THEIRS, "--data", "{data}", "--target", "specis"),
        "rows.csv has no column 'specis'; did you mean 'species'?",
    ),
    "an unknown metric": (
        ("--model", THEIRS, "--data", "{data}", "--target", "species", "--metric", "acuracy"),
        "'acuracy' is not a metric of this classification; did you mean 'accuracy'?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_explained(case: str, registry: MlflowRegistry, theirs: str, data: str) -> None:
    given, reason = WRONG[case]
    options = [one.replace("{run}", theirs).replace("{data}", data) for one in given]

    ended = run(main, "register", "ours", *options)

    assert (ended.exit_code, len(ended.error.splitlines())) == (1, 1), ended.error
    assert ended.error.startswith("Error: ")
    assert reason.replace("{run}", theirs) in ended.error
    assert "ours" not in {model.name for model in registry.list_models()}


def test_gate_decides_as_in_a_training(registry: MlflowRegistry, data: str, tmp_path: Path) -> None:
    def register(*options: str) -> Ended:
        return run(main, "register", "gated", "--model", THEIRS, *options)

    def production() -> str:
        return registry.get_model("gated").aliases[PRODUCTION]

    first = register()
    assert (first.exit_code, production()) == (0, "1")
    assert "no Production version to compare with; the version has no score" in str(
        gate_result_of(registry.get_version("gated", "1").tags)
    )

    unscored = register()
    assert (unscored.exit_code, production()) == (1, "1")
    assert "it cannot be compared with Production (version 1); pass rows with their true values" in unscored.output

    scored = ("--data", data, "--target", "species")
    low = register(*scored, "--floor", "accuracy=0.999")
    assert (low.exit_code, production()) == (1, "1")
    assert "is below the floor 0.9990; --floor accuracy=VALUE changes the floor" in low.output

    equal = register(*scored)
    assert (equal.exit_code, production()) == (0, "4")
    assert "equals Production's" in str(gate_result_of(registry.get_version("gated", "4").tags))

    assert (register("--promote", "never").exit_code, production()) == (0, "4")
    assert (register("--promote", "force").exit_code, production()) == (0, "6")


def test_differing_prediction_is_shown(registry: MlflowRegistry, tmp_path: Path) -> None:
    from mlflow import sklearn  # noqa: PLC0415

    model = KNeighborsClassifier().fit(ROWS, SPECIES)
    with mlflow.start_run() as run_of_model:
        sklearn.log_model(
            model, name="near", serialization_format="cloudpickle", pip_requirements=[], signature=infer_signature(ROWS)
        )
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    address = f"runs:/{run_of_model.info.run_id}/near"

    ended = run(main, "register", "near", "--model", address, "--data", str(tmp_path / "rows.csv"), "--trust")

    assert ended.exit_code == 1
    assert "differs from the model on 1 of 150 rows (the rows of rows.csv). For row 57 (sepal length" in ended.error
    assert "near" not in {model.name for model in registry.list_models()}
