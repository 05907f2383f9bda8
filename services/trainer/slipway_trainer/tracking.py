"""Log runs, artifacts and model versions to MLflow. Only this module uses MLflow's full client."""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import DatasetInput, LoggedModelOutput, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from slipway_core.bundle import MANIFEST_TAG
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry.promotion import DATA_VERSION_TAG, METRICS_TAG
from slipway_core.registry.withdrawals import MODEL_DIGEST_TAG
from slipway_trainer.bundling import WrittenBundle
from slipway_trainer.pyfunc import flavor
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Evaluation
from slipway_trainer.tasks import Figure
from slipway_trainer.tracked_data import (
    TrackedData,
    TrackedRuns,
    dataset_inputs,
    millis,
    registry_error,
    without_account,
)

GIT_COMMIT_TAG = "slipway.git_commit"
RECIPE_TAG = "slipway.recipe"
CHOSEN_TAG = "slipway.chosen"
VERSION_TAG = "slipway.model_version"
WINNER_RUN_TAG = "slipway.chosen_run"
# MLflow's pages show metrics with the same prefix as a group.
TIMING_PREFIX = "timing/"


class Tracker:
    """Logs one training run to an MLflow server."""

    def __init__(self, tracking_uri: str, public_url: str | None = None) -> None:
        """Create a client, without connecting.

        Args:
            tracking_uri: the server's address.
            public_url: the server's address for browsers, if it differs.
        """
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        self._address = without_account((public_url or tracking_uri).rstrip("/"))
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
        data: TrackedData | None,
    ) -> TrackedRuns:
        """Log a run for each candidate under one parent, so that MLflow's UI compares them.

        The parent run continues until `finishing` ends it.

        Args:
            recipe: the recipe; its model's name is the experiment's name.
            evaluations: the evaluation of each candidate.
            best: the chosen evaluation; `register` adds its metrics to the parent run.
            started_at: the start of the training, in seconds since the epoch.
            parameters: the parameters of all candidates.
            tags: the tags of every run.
            data: the data set, which every run links as its input; None without data.

        Raises:
            RegistryError: the server rejected a call or failed.
        """
        try:
            experiment_id = self._experiment(recipe.name)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at))
            parent = self._start(experiment_id, f"{recipe.name} {stamp}", started_at, tags)
        except MlflowException as error:
            raise registry_error(error) from error
        try:
            self._client.log_inputs(parent, dataset_inputs(recipe, data))
            self._log(parent, {}, {**parameters, "chosen": best.fitted.candidate.name})
            children = {}
            for evaluation in evaluations:
                children[evaluation.fitted.candidate.name] = self._log_candidate(
                    evaluation,
                    experiment_id,
                    {**tags, "mlflow.parentRunId": parent},
                    name=f"{recipe.name} {stamp} {evaluation.fitted.candidate.name}",
                    data=dataset_inputs(recipe, data),
                    chosen=evaluation is best,
                )
        except MlflowException as error:
            self._fail(parent)
            raise registry_error(error) from error
        return TrackedRuns(experiment_id, parent, children, stamp)

    @contextlib.contextmanager
    def finishing(self, runs: TrackedRuns) -> Iterator[None]:
        """End the parent run after the block: as finished, or as failed if the block failed."""
        try:
            yield
            self._client.set_terminated(runs.parent)
        except MlflowException as error:
            self._fail(runs.parent)
            raise registry_error(error) from error
        except BaseException:
            self._fail(runs.parent)
            raise

    def register(
        self, recipe: Recipe, bundle: WrittenBundle, runs: TrackedRuns, evaluation: Evaluation, *, chosen: bool
    ) -> str:
        """Log the bundle as an MLflow model in the training's run, register it, and return its number.

        The source of the chosen candidate's version, which must be the last, is the training's run: it links data,
        model, version and plots. That of another one is its own run, which links the model in any case.

        Raises:
            RegistryError: the server rejected a call or failed.
        """
        manifest = bundle.manifest
        candidate = evaluation.fitted.candidate.name
        own_run = runs.candidates[candidate]
        source = runs.parent if chosen else own_run
        try:
            with mlflow.start_run(run_id=runs.parent):
                info = Model.log(
                    # MLflow allows no colons in this name.
                    name=f"{recipe.name}-{runs.stamp.replace(':', '')}-{candidate}",
                    artifact_path=None,
                    flavor=flavor,
                    bundle=bundle.folder,
                    manifest=manifest,
                )
            # After the registration: MLflow would insert earlier metrics again, which PostgreSQL logs as errors.
            if chosen:
                self._log(runs.parent, evaluation.metrics, {}, model_id=info.model_id)
            self._make_registered_model(recipe)
            # With the client, because the fluent function prints to the terminal.
            version = self._client.create_model_version(
                recipe.name,
                info.model_uri,
                source,
                tags={
                    MANIFEST_TAG: bundle.manifest_sha256,
                    METRICS_TAG: json.dumps(manifest.metrics),
                    DATA_VERSION_TAG: manifest.data.version,
                    MODEL_DIGEST_TAG: manifest.digests[MODEL_FILE],
                    RECIPE_TAG: recipe.name,
                    **({GIT_COMMIT_TAG: manifest.git_commit} if manifest.git_commit else {}),
                },
                description=_describe(recipe, evaluation),
                model_id=info.model_id,
                await_creation_for=None,
            )
            self._client.log_outputs(own_run, [LoggedModelOutput(info.model_id, 0)])
            for run in {source, own_run}:
                self._client.set_tag(run, VERSION_TAG, f"{recipe.name}/{version.version}")
            if chosen:
                self._client.set_tag(runs.parent, WINNER_RUN_TAG, own_run)
        except MlflowException as error:
            raise registry_error(error) from error
        return str(version.version)

    def log_figures(self, run_id: str, figures: Iterable[Figure]) -> None:
        """Store figures with a run, each as an image and as its numbers.

        Raises:
            RegistryError: the server rejected a call or failed.
        """
        try:
            for figure in figures:
                self._client.log_figure(run_id, figure.figure, f"{figure.name}.png")
                self._client.log_dict(run_id, dict(figure.data), f"{figure.name}.json")
        except MlflowException as error:
            raise registry_error(error) from error

    def run_url(self, runs: TrackedRuns) -> str:
        """Return the address of the training's run in MLflow's pages."""
        return f"{self._address}/#/experiments/{runs.experiment_id}/runs/{runs.parent}/artifacts"

    def log_timings(self, runs: TrackedRuns, seconds: Mapping[str, float]) -> None:
        """Store the duration of each step with the parent run.

        Raises:
            RegistryError: the server rejected a call or failed.
        """
        try:
            self._log(runs.parent, {f"{TIMING_PREFIX}{step}_seconds": value for step, value in seconds.items()}, {})
        except MlflowException as error:
            raise registry_error(error) from error

    def _experiment(self, name: str) -> str:
        """Return the experiment with this name, even if another training creates it at the same time."""
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
        name: str,
        data: Sequence[DatasetInput],
        chosen: bool,
    ) -> str:
        fitted = evaluation.fitted
        run = self._start(experiment_id, name, fitted.started_at, {**tags, CHOSEN_TAG: str(chosen).lower()})
        self._client.log_inputs(run, list(data))
        metrics = {
            **evaluation.metrics,
            f"{TIMING_PREFIX}cv_seconds": fitted.cv_seconds,
            f"{TIMING_PREFIX}fit_seconds": fitted.fit_seconds,
            "graph_bytes": len(evaluation.model),
            "parity_of_tolerance": evaluation.parity,
        }
        self._log(run, metrics, {"estimator": fitted.candidate.name, **fitted.parameters})
        now = millis(time.time())
        folds = [Metric("cv_fold", score, now, step) for step, score in enumerate(fitted.cv_scores)]
        self._client.log_batch(run, metrics=folds)
        self._client.set_terminated(run)
        return run

    def _start(self, experiment_id: str, name: str, started_at: float, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(experiment_id, millis(started_at), dict(tags), name)
        return str(run.info.run_id)

    def _log(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Any],
        *,
        model_id: str | None = None,
    ) -> None:
        now = millis(time.time())
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0, model_id) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
        )


def _describe(recipe: Recipe, evaluation: Evaluation) -> str:
    value = evaluation.metrics.get(recipe.metric)
    name, rows = evaluation.fitted.candidate.name, recipe.scored_rows
    return f"{recipe.title}." if value is None else f"{recipe.title}: {name}, {recipe.metric} {value:.4f} on {rows}."
