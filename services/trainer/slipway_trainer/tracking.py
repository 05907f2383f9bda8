"""Runs, artifacts and model versions in MLflow: the one place that uses its full client."""

import contextlib
import json
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
import mlflow.onnx
import numpy as np
import onnx
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from slipway_core.bundle import GOLDEN_FILE, MANIFEST_FILE, MANIFEST_TAG, MODEL_FILE, REFERENCE_FILE
from slipway_core.errors import RegistryError
from slipway_core.registry.promotion import DATA_VERSION_TAG, METRICS_TAG, MODEL_DIGEST_TAG
from slipway_trainer.bundling import WrittenBundle
from slipway_trainer.recipes import Recipe
from slipway_trainer.steps.evaluate import Evaluation
from slipway_trainer.tasks import Figure, task_of

GIT_COMMIT_TAG = "slipway.git_commit"
RECIPE_TAG = "slipway.recipe"
CHOSEN_TAG = "slipway.chosen"


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of one training.

    Attributes:
        parent: the run that the candidates' runs are under.
        candidates: the run of each candidate, by its name.
    """

    experiment_id: str
    parent: str
    candidates: Mapping[str, str]


class Tracker:
    """Logs one training run to an MLflow server."""

    def __init__(self, tracking_uri: str, public_url: str | None = None) -> None:
        """Prepare a client; nothing is connected yet.

        Args:
            tracking_uri: the server's address here.
            public_url: its address in people's browsers, where that is another.
        """
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        self._address = _without_account((public_url or tracking_uri).rstrip("/"))
        self._client = MlflowClient(tracking_uri, tracking_uri)

    def log_runs(
        self,
        recipe: Recipe,
        evaluations: Sequence[Evaluation],
        best: Evaluation,
        *,
        started_at: float,
        parameters: Mapping[str, str | int | float],
        tags: Mapping[str, str],
    ) -> TrackedRuns:
        """Log a run for each candidate under one parent, so that MLflow's UI compares them.

        The parent's run goes on until `finishing` ends it.

        Args:
            recipe: names the experiment.
            evaluations: one for each candidate.
            best: the one that is chosen; the parent run shows its metrics, too.
            started_at: when the training began, seconds since the epoch.
            parameters: what holds for all candidates.
            tags: what every run is tagged with.

        Raises:
            RegistryError: the server refused or failed.
        """
        try:
            experiment_id = self._experiment(recipe.name)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at))
            parent = self._start(experiment_id, f"{recipe.name} {stamp}", started_at, tags)
        except MlflowException as error:
            raise _refused(error) from error
        try:
            self._log(parent, best.metrics, {**parameters, "chosen": best.fitted.candidate.name})
            children = {}
            for evaluation in evaluations:
                children[evaluation.fitted.candidate.name] = self._log_candidate(
                    evaluation,
                    experiment_id,
                    {**tags, "mlflow.parentRunId": parent},
                    chosen=evaluation is best,
                )
        except MlflowException as error:
            self._fail(parent)
            raise _refused(error) from error
        return TrackedRuns(experiment_id, parent, children)

    @contextlib.contextmanager
    def finishing(self, runs: TrackedRuns) -> Iterator[None]:
        """End the parent's run after a block: as finished, or as failed if the block failed."""
        try:
            yield
            self._client.set_terminated(runs.parent)
        except MlflowException as error:
            self._fail(runs.parent)
            raise _refused(error) from error
        except BaseException:
            self._fail(runs.parent)
            raise

    def register(self, recipe: Recipe, bundle: WrittenBundle, runs: TrackedRuns, best: Evaluation) -> str:
        """Log the bundle through MLflow's ONNX flavor in the chosen candidate's run, and register it.

        Returns:
            The new version's number.

        Raises:
            RegistryError: the server refused or failed.
        """
        manifest = bundle.manifest
        width = len(manifest.inputs)
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, width), manifest.graph.input)]),
            outputs=Schema(task_of(recipe).output_specs(bundle.manifest.graph)),
        )
        run_id = runs.candidates[best.fitted.candidate.name]
        try:
            with mlflow.start_run(run_id=run_id):
                info = mlflow.onnx.log_model(
                    onnx.load_model(bundle.folder / MODEL_FILE),
                    name=recipe.name,
                    signature=signature,
                    # Without this, weights over 1 KB leave the graph for a file with a random name.
                    save_as_external_data=False,
                    extra_files=[str(bundle.folder / name) for name in (MANIFEST_FILE, GOLDEN_FILE, REFERENCE_FILE)],
                    conda_env=_environment(manifest.libraries),
                )
            # Those of a run are inserted again with its model, which PostgreSQL logs as errors: so with the model only.
            self._log_metrics(run_id, best, model_id=info.model_id)
            self._make_registered_model(recipe)
            # Through the client, not the fluent call: that one prints to the terminal.
            version = self._client.create_model_version(
                recipe.name,
                info.model_uri,
                run_id,
                tags={
                    MANIFEST_TAG: bundle.manifest_sha256,
                    METRICS_TAG: json.dumps(manifest.metrics),
                    DATA_VERSION_TAG: manifest.data.version,
                    MODEL_DIGEST_TAG: manifest.digests[MODEL_FILE],
                    RECIPE_TAG: recipe.name,
                    **({GIT_COMMIT_TAG: manifest.git_commit} if manifest.git_commit else {}),
                },
                description=_describe(recipe, best),
                model_id=info.model_id,
                await_creation_for=None,
            )
        except MlflowException as error:
            raise _refused(error) from error
        return str(version.version)

    def log_figures(self, run_id: str, figures: Iterable[Figure]) -> None:
        """Keep figures with a run, each as a picture and as the numbers behind it.

        Raises:
            RegistryError: the server refused or failed.
        """
        try:
            for figure in figures:
                self._client.log_figure(run_id, figure.figure, f"{figure.name}.png")
                self._client.log_dict(run_id, dict(figure.data), f"{figure.name}.json")
        except MlflowException as error:
            raise _refused(error) from error

    def run_url(self, runs: TrackedRuns, candidate: str) -> str:
        """Return the address of a candidate's run in MLflow's pages, where its plots are."""
        return f"{self._address}/#/experiments/{runs.experiment_id}/runs/{runs.candidates[candidate]}/artifacts"

    def log_timings(self, runs: TrackedRuns, seconds: Mapping[str, float]) -> None:
        """Keep how long each step took with the parent's run.

        Raises:
            RegistryError: the server refused or failed.
        """
        try:
            self._log(runs.parent, {f"seconds_{step}": value for step, value in seconds.items()}, {})
        except MlflowException as error:
            raise _refused(error) from error

    def _experiment(self, name: str) -> str:
        """Return the experiment of that name; of two trainings that make it at once, one finds it made."""
        if (experiment := self._client.get_experiment_by_name(name)) is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self._client.get_experiment_by_name(name)
        return str(experiment.experiment_id)

    def _fail(self, run_id: str) -> None:
        with contextlib.suppress(MlflowException):
            self._client.set_terminated(run_id, "FAILED")

    def _make_registered_model(self, recipe: Recipe) -> None:
        # PostgreSQL would log the second creation as an error.
        with contextlib.suppress(MlflowException):
            self._client.get_registered_model(recipe.name)
            return
        try:
            self._client.create_registered_model(recipe.name, description=recipe.title)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log_candidate(
        self,
        evaluation: Evaluation,
        experiment_id: str,
        tags: Mapping[str, str],
        *,
        chosen: bool,
    ) -> str:
        fitted = evaluation.fitted
        run = self._start(
            experiment_id, fitted.candidate.name, fitted.started_at, {**tags, CHOSEN_TAG: str(chosen).lower()}
        )
        self._log(run, {}, {"estimator": fitted.candidate.name, **fitted.parameters})
        if not chosen:  # `register` logs the chosen one's with its model
            self._log_metrics(run, evaluation)
        self._client.set_terminated(run)
        return run

    def _log_metrics(self, run_id: str, evaluation: Evaluation, model_id: str | None = None) -> None:
        fitted = evaluation.fitted
        now = _millis(time.time())
        metrics = {
            **evaluation.metrics,
            "cv_seconds": fitted.cv_seconds,
            "fit_seconds": fitted.fit_seconds,
            "graph_bytes": len(evaluation.model),
            "parity_of_tolerance": evaluation.parity,
        }
        folds = [Metric("cv_fold", score, now, step, model_id) for step, score in enumerate(fitted.cv_scores)]
        values = [Metric(name, value, now, 0, model_id) for name, value in metrics.items()]
        self._client.log_batch(run_id, metrics=values + folds)

    def _start(self, experiment_id: str, name: str, started_at: float, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(experiment_id, _millis(started_at), dict(tags), name)
        return str(run.info.run_id)

    def _log(self, run_id: str, metrics: Mapping[str, float], parameters: Mapping[str, Any]) -> None:
        now = _millis(time.time())
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
        )


def _describe(recipe: Recipe, best: Evaluation) -> str:
    value = best.metrics[recipe.metric]
    return f"{recipe.title}: {best.fitted.candidate.name}, {recipe.metric} {value:.4f} on held-out rows."


def _environment(libraries: Mapping[str, str]) -> dict[str, Any]:
    """Return the model's environment as MLflow writes it; MLflow's own takes seconds, and warns if pip is missing."""
    requirements = [f"{name}=={number}" for name, number in sorted(libraries.items())]
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": requirements}],
    }


def _millis(seconds: float) -> int:
    return int(seconds * 1000)


def _refused(error: MlflowException) -> RegistryError:
    """Turn an error of MLflow's client into ours: its first line alone."""
    told = _without_account(str(error.message).partition("\n")[0])
    return RegistryError(f"the tracking server refused or failed: {told}")


def _without_account(text: str) -> str:
    """Return a text without the names and passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]+@", "://", text)
