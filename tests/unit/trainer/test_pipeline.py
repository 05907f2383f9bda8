"""The pipeline: the order of its steps, their reports, and the state after a failure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, REFERENCE_FILE
from slipway_core.errors import BundleError, RegistryError
from slipway_core.manifest import MODEL_FILE, SERVED_FILES
from slipway_core.registry import PRODUCTION
from slipway_core.registry.bundle_download import fetch_bundle
from slipway_core.registry.gate_result import GateResult
from slipway_core.registry.memory import InMemoryRegistry
from slipway_core.registry.promotion import rollback
from slipway_core.registry.withdrawals import MODEL_DIGEST_TAG
from slipway_trainer.bundling import WrittenBundle
from slipway_trainer.errors import DataRefusedError
from slipway_trainer.overrides import override
from slipway_trainer.pipeline import Outcome, Stopwatch, run_pipeline
from slipway_trainer.recipes import Recipe
from slipway_trainer.step_results import Evaluation
from slipway_trainer.tasks import Figure
from slipway_trainer.tracked_data import TrackedRuns
from slipway_trainer.tracking import Tracker
from support.fraud import FRAUD
from support.iris import IRIS, iris_dataset

QUICK = override(IRIS, ["folds=2", "candidates=logistic-regression,gradient-boosting", "C=1", "n_estimators=3"])


@dataclass
class FakeTracker:
    """A tracker that records its calls."""

    registry: InMemoryRegistry
    drawn: list[str] = field(default_factory=list)
    registered: list[bool] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    status: str = "none"
    refuses_figures: bool = False

    def log_runs(
        self,
        _recipe: Recipe,
        evaluations: Sequence[Evaluation],
        _best: Evaluation,
        *,
        parameters: Mapping[str, object],
        **_: object,
    ) -> TrackedRuns:
        self.status = "running"
        self.parameters = parameters
        return TrackedRuns("0", "parent", {e.fitted.candidate.name: e.fitted.candidate.name for e in evaluations})

    @contextmanager
    def finishing(self, _runs: TrackedRuns) -> Iterator[None]:
        self.status = "failed"
        yield
        self.status = "finished"

    def register(
        self, recipe: Recipe, bundle: WrittenBundle, _runs: TrackedRuns, _evaluation: Evaluation, *, chosen: bool
    ) -> str:
        self.registered.append(chosen)
        names = (MANIFEST_FILE, REFERENCE_FILE, *SERVED_FILES)
        files = {name: (bundle.folder / name).read_bytes() for name in names}
        tags = {MANIFEST_TAG: bundle.manifest_sha256, MODEL_DIGEST_TAG: bundle.manifest.digests[MODEL_FILE]}
        return self.registry.add_version(recipe.name, files, tags=tags).version

    def log_figures(self, run_id: str, _figures: Iterable[Figure]) -> None:
        if self.refuses_figures:
            raise RegistryError("the disk is full")
        self.drawn.append(run_id)

    def log_timings(self, _runs: TrackedRuns, seconds: Mapping[str, float]) -> None:
        self.timings = dict(seconds)


@dataclass
class FakeReporter:
    """A reporter that records its calls."""

    told: list[tuple[str, str]] = field(default_factory=list)
    fits: list[tuple[str, int, int]] = field(default_factory=list)
    gate_results: list[GateResult] = field(default_factory=list)

    def step_finished(self, step: str, sentence: str) -> None:
        self.told.append((step, sentence))

    def progress(self, what: str, done: int, total: int) -> None:
        self.fits.append((what, done, total))

    def gate_result(
        self, _recipe: Recipe, _all: tuple[Evaluation, ...], _best: Evaluation, gate_result: GateResult
    ) -> None:
        self.gate_results.append(gate_result)


@dataclass
class Training:
    """A pipeline with everything around it in memory."""

    registry: InMemoryRegistry = field(default_factory=InMemoryRegistry)
    reporter: FakeReporter = field(default_factory=FakeReporter)
    opened: int = 0

    def __post_init__(self) -> None:
        self.tracker = FakeTracker(self.registry)

    def run(
        self, recipe: Recipe = QUICK, mode: Literal["auto", "never", "force"] = "auto", data: Path | None = None
    ) -> Outcome:
        return run_pipeline(
            recipe,
            data=data,
            data_dir=Path("there-is-no-such-folder"),
            mode=mode,
            open_registry=self._open,
            by="ada",
            commit=None,
            reporter=self.reporter,
        )

    def _open(self) -> tuple[Tracker, Any]:
        self.opened += 1
        return cast("Tracker", self.tracker), self.registry

    @property
    def last(self) -> dict[str, str]:
        """The last sentence of each step."""
        return dict(self.reporter.told)


@pytest.fixture
def training() -> Training:
    return Training()


def test_each_step_is_reported_when_it_ends(training: Training) -> None:
    training.run()

    steps = [step for step, _ in training.reporter.told]
    assert steps == ["extract", "validate", "train", "train", "evaluate", "register", "promote", "report"]
    assert training.last["validate"].endswith("117 training rows, 33 test rows (split: stratified by row)")
    assert training.last["promote"] == "Production of iris is now version 1"


def test_split_by_a_key_is_recorded(training: Training) -> None:
    outcome = training.run(override(QUICK, ["split_key=petal width (cm)"]))

    assert training.last["validate"].endswith("(split: stratified by 'petal width (cm)')")
    assert {"split": "stratified", "split_key": "petal width (cm)"}.items() <= training.tracker.parameters.items()
    manifest = fetch_bundle(training.registry, outcome.version, outcome.version.tags[MANIFEST_TAG]).manifest
    assert manifest.data.split == "stratified by 'petal width (cm)'"


def test_every_fit_of_every_candidate_is_counted(training: Training) -> None:
    training.run()

    names = ("logistic-regression", "gradient-boosting")
    assert training.reporter.fits == [(name, done, 3) for name in names for done in range(3)]


def test_parameters_of_a_search_are_reported(training: Training) -> None:
    recipe = override(IRIS, ["folds=2", "candidates=logistic-regression"])
    searching = recipe.candidates[0].model_copy(update={"search": {"C": (0.1, 1.0)}})

    training.run(recipe.model_copy(update={"candidates": (searching,)}))

    assert training.last["train"].startswith("logistic-regression with C=")


def test_the_version_is_promoted_before_anything_is_drawn(training: Training) -> None:
    training.tracker.refuses_figures = True

    outcome = training.run()

    assert training.registry.get_model("iris").aliases[PRODUCTION] == outcome.version.version
    assert training.last["report"] == (
        "the version is not affected, but its plots could not be stored: the disk is full"
    )


def test_every_candidate_has_its_figures_and_each_step_its_time(training: Training) -> None:
    training.run()

    drawn = [run for run in training.tracker.drawn if run != "parent"]
    assert drawn == ["logistic-regression", "gradient-boosting"]
    assert training.tracker.drawn.count("parent") == 1
    assert set(training.tracker.timings) == {
        *("extract", "validate", "register", "promote", "report"),
        *(f"{step}_{name}" for step in ("train", "evaluate") for name in drawn),
    }
    assert training.tracker.status == "finished"


def test_gate_result_is_shown_and_returned(training: Training) -> None:
    outcome = training.run()

    assert training.reporter.gate_results == [outcome.gate_result]
    assert outcome.gate_result.promote


def test_registered_bundle_is_read_back_before_promotion(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    register = training.tracker.register

    def damaging(*arguments: Any, **options: Any) -> str:
        version = register(*arguments, **options)
        training.registry.replace_file("iris", version, MODEL_FILE, b"damaged")
        return version

    monkeypatch.setattr(training.tracker, "register", damaging)

    with pytest.raises(BundleError, match=r"model\.onnx"):
        training.run()

    assert training.tracker.status == "failed"
    assert training.registry.get_model("iris").aliases == {}


def test_refused_data_opens_no_registry(training: Training, tmp_path: Path) -> None:
    data = tmp_path / "iris.csv"
    iris_dataset().frame.head(10).to_csv(data, index=False)

    with pytest.raises(DataRefusedError):
        training.run(data=data)

    assert training.opened == 0
    assert [step for step, _ in training.reporter.told] == ["extract"]


def test_rejection_is_reported_with_its_reason(training: Training) -> None:
    training.run(override(QUICK, ["floors.accuracy=1.01"]))

    first, reason, last = training.last["promote"].splitlines()
    assert first == "the gate failed; version 1 is registered, and Production of iris is unchanged:"
    assert reason.startswith("- accuracy ")
    assert last == "to promote it anyway: slipway models promote iris 1"


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_command_for_a_withdrawn_graph_is_printed_once(training: Training, mode: Literal["auto", "never"]) -> None:
    training.run(override(IRIS, ["folds=2", "candidates=logistic-regression", "C=0.1", "floors.accuracy=0"]))
    training.run(mode="force")
    rollback(training.registry, "iris", by="ada", at=datetime.now(UTC), reason="it is biased")

    training.run(mode=mode)

    assert training.last["promote"].splitlines()[-1] == (
        "- its graph is the same as that of version 2, which a rollback withdrew; "
        "to lift the withdrawal and promote it: slipway models promote iris 3"
    )


@pytest.mark.parametrize(("floor", "told"), [(0.5, "the gate would pass"), (1.01, "the gate would fail:\n- accuracy ")])
def test_mode_never_reports_the_decision_of_the_gate(training: Training, floor: float, told: str) -> None:
    training.run(override(QUICK, [f"floors.accuracy={floor}"]), mode="never")

    assert f"Production of iris is unchanged, as requested\n{told}" in training.last["promote"]
    assert training.registry.get_model("iris").aliases == {}


def test_a_step_that_fails_has_no_time() -> None:
    watch = Stopwatch()

    with pytest.raises(ValueError, match="no"), watch.step("extract"):
        raise ValueError("no")
    with watch.step("validate"):
        pass

    assert list(watch.seconds) == ["validate"]
    assert watch.seconds["validate"] >= 0


@pytest.mark.slow
def test_rare_class_trains_from_data_to_production(training: Training) -> None:
    outcome = training.run(FRAUD)

    assert outcome.gate_result.promote, outcome.gate_result.summary
    assert training.tracker.drawn.count("parent") == 1
    best = outcome.best
    assert list(best.metrics)[:3] == ["average_precision", "recall", "brier"]
    assert best.metrics["recall"] > 0.5
    for evaluation in outcome.evaluations:
        estimator = evaluation.fitted.estimator
        assert getattr(estimator, "named_steps", {"": estimator}).popitem()[1].class_weight == "balanced"


def test_champion_is_scored_with_the_threshold_of_the_recipe(training: Training) -> None:
    first = training.run(FRAUD)
    strict = {"metric": "precision", "threshold": 0.9, "candidates": (first.best.fitted.candidate,)}

    again = training.run(FRAUD.model_copy(update=strict))

    assert again.best.metrics["precision"] > first.best.metrics["precision"]
    (check,) = (check for check in again.gate_result.checks if check.metric == "precision")
    assert check.value == check.required == again.best.metrics["precision"]


def test_each_candidate_above_the_floors_is_registered_under_its_alias(training: Training) -> None:
    outcome = training.run(override(QUICK, ["register_all=true"]))

    best = outcome.best.fitted.candidate.name
    [other] = {"logistic-regression", "gradient-boosting"} - {best}
    aliases = {PRODUCTION: "2", f"candidate-{best}": "2", f"candidate-{other}": "1"}
    assert training.registry.get_model("iris").aliases == aliases
    assert training.tracker.registered == [False, True]
    assert training.last["register"].splitlines() == [
        "version 2 of iris",
        f"candidate {other}: version 1",
        f"candidate {best}: version 2",
    ]
    manifests = [
        fetch_bundle(training.registry, one, one.tags[MANIFEST_TAG]).manifest
        for one in training.registry.list_versions("iris")
    ]
    assert manifests[0].metrics["cv_mean"] >= manifests[1].metrics["cv_mean"]


def test_candidate_below_a_floor_keeps_its_earlier_alias(training: Training) -> None:
    training.run(override(QUICK, ["register_all=true"]))
    before = dict(training.registry.get_model("iris").aliases)

    training.run(override(QUICK, ["register_all=true", "floors.accuracy=1.01"]))

    assert training.registry.get_model("iris").aliases == before
    assert training.last["register"].splitlines()[0] == "version 3 of iris"
    failed = training.last["register"].splitlines()[1:]
    assert [line.partition(": accuracy ")[0] for line in failed] == [
        "candidate logistic-regression gets no alias",
        "candidate gradient-boosting gets no alias",
    ]
