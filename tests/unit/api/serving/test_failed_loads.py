"""Versions that cannot be served: the previous version stays, the failure is reported, and the load is retried."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from structlog.typing import EventDict

from slipway_api.errors import NotReadyError
from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.slot import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, Golden, GoldenOutputs, digest
from slipway_core.graph import Graph
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE
from slipway_core.registry import PRODUCTION, ModelVersion
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import (
    BIAS,
    GOLDEN_ROWS,
    NAMES,
    bundle_files,
    echo_classifier,
    golden_of,
    linear_classifier,
    register,
)
from support.serving import Serving

RIGHT = golden_of(linear_classifier())


def golden(**changes: object) -> Golden:
    return Golden.model_validate({**RIGHT.model_dump(), **changes})


def manifest_saying(**changes: object) -> dict[str, bytes]:
    """Return a bundle's files with a manifest that its schema does not allow."""
    files = bundle_files()
    files[MANIFEST_FILE] = json.dumps({**json.loads(files[MANIFEST_FILE]), **changes}).encode()
    return files


def damaged(file: str) -> Callable[[InMemoryRegistry], str]:
    """Return a function that registers a version with a file changed after registration."""

    def add(registry: InMemoryRegistry) -> str:
        files = bundle_files()
        version = register(registry, files)
        registry.replace_file("iris", version, file, files[file] + b" ")
        return version

    return add


def lacking(file: str) -> Callable[[InMemoryRegistry], str]:
    def add(registry: InMemoryRegistry) -> str:
        files = bundle_files()
        tags = {MANIFEST_TAG: digest(files[MANIFEST_FILE])}
        return registry.add_version("iris", {k: v for k, v in files.items() if k != file}, tags=tags).version

    return add


def tagged(**tags: str) -> Callable[[InMemoryRegistry], str]:
    return lambda registry: registry.add_version("iris", bundle_files(), tags=tags).version


def bundled(files: dict[str, bytes]) -> Callable[[InMemoryRegistry], str]:
    return lambda registry: register(registry, files)


def echoing(*row: float) -> Callable[[InMemoryRegistry], str]:
    """Return a function that registers a version whose golden row produces a result that its manifest excludes."""
    model = echo_classifier()
    outputs = Graph(model, NAMES).run(np.array([row], dtype=np.float32))
    assert outputs.scores is not None
    expected = GoldenOutputs(prediction=outputs.prediction.tolist(), scores=outputs.scores.tolist())
    return bundled(bundle_files(model=model, golden=golden(rows=(row,), outputs=expected)))


@dataclass(frozen=True)
class Bad:
    """Describe a version that cannot be served: how to register it, and a part of the reason."""

    name: str
    add: Callable[[InMemoryRegistry], str]
    reason: str


OTHER_PREDICTION = GoldenOutputs(prediction=(1.0, 1.0, 2.0), scores=RIGHT.outputs.scores)
OTHER_SCORES = GoldenOutputs(prediction=RIGHT.outputs.prediction, scores=((1.0, 0.0, 0.0),) * 3)
NO_SCORES = GoldenOutputs(prediction=RIGHT.outputs.prediction)
BAD = [
    Bad("damaged-graph", damaged(MODEL_FILE), "model.onnx has the digest sha256:"),
    Bad("damaged-golden-rows", damaged(GOLDEN_FILE), "golden.json has the digest sha256:"),
    Bad("damaged-manifest", damaged(MANIFEST_FILE), "manifest.json has the digest sha256:"),
    Bad("no-graph", lacking(MODEL_FILE), "has no file model.onnx"),
    Bad("no-golden-rows", lacking(GOLDEN_FILE), "has no file golden.json"),
    Bad("no-manifest", lacking(MANIFEST_FILE), "has no file manifest.json"),
    Bad("no-tag", tagged(), "Slipway's trainer did not register version"),
    Bad("malformed-tag", tagged(**{MANIFEST_TAG: "sha256:../../etc"}), "has no SHA-256 in its tag"),
    Bad("other-digest", tagged(**{MANIFEST_TAG: digest(b"other")}), "manifest.json has the digest sha256:"),
    Bad("other-model", bundled(bundle_files("demand")), "the bundle is of the model demand, not of iris"),
    Bad("unknown-task", bundled(manifest_saying(task="clustering")), "manifest.json is invalid at task"),
    Bad("newer-schema", bundled(manifest_saying(schema_version=3)), "is invalid at schema_version"),
    Bad("unknown-field", bundled(manifest_saying(extra=1)), "is invalid at extra"),
    Bad("other-prediction", bundled(bundle_files(golden=golden(outputs=OTHER_PREDICTION))), "for golden row 0"),
    Bad("other-scores", bundled(bundle_files(golden=golden(outputs=OTHER_SCORES))), "scores and golden.json differ"),
    Bad("no-scores", bundled(bundle_files(golden=golden(outputs=NO_SCORES))), "differ in shape"),
    Bad("narrow-rows", bundled(bundle_files(golden=golden(rows=((1.0,),) * 3))), "without the manifest's 4 columns"),
    Bad("not-onnx", bundled(bundle_files(model=b"no graph", golden=RIGHT)), "it is not a valid ONNX model"),
    Bad(
        "other-input",
        bundled(bundle_files(model=linear_classifier(input_name="Y"), golden=RIGHT)),
        "the graph's inputs are Y (float32), but the manifest names X",
    ),
    Bad("class-beyond", echoing(70.0, 1.0, 1.0, 1.0), "returns a class that is not one of the manifest's 3"),
    Bad("class-below", echoing(-10.0, 1.0, 1.0, 1.0), "returns a class that is not one of the manifest's 3"),
    Bad("no-probabilities", echoing(0.0, 70.0, 1.0, 1.0), "returns scores outside [0, 1]"),
    Bad("two-classes", bundled(bundle_files(classes=("a", "b"))), "no probabilities for the manifest's 2 classes"),
]
each_bad_version = pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)


def promote(serving: Serving, bad: Bad) -> None:
    serving.registry.set_alias("iris", PRODUCTION, bad.add(serving.registry))


@each_bad_version
def test_failed_load_keeps_the_served_version_and_is_logged(serving: Serving, bad: Bad, logs: list[EventDict]) -> None:
    promote(serving, bad)

    serving.sync()

    assert serving.served() == {"iris": "1"}
    failure = serving.failure()
    assert (failure.version, failure.attempts) == ("2", 1)
    assert bad.reason in failure.reason
    assert serving.failures() == 1
    assert serving.sample("slipway_model_load_failing", model="iris") == 1
    [told] = [entry for entry in logs if entry["event"] == "model_load_failed"]
    assert (told["model"], told["version"], told["kept"], told["log_level"]) == ("iris", "2", "1", "error")
    assert bad.reason in told["reason"]


@each_bad_version
def test_repaired_version_is_served(serving: Serving, bad: Bad) -> None:
    promote(serving, bad)
    serving.sync()
    serving.mend("2")
    serving.clock.now += FIRST_RETRY_SECONDS

    serving.sync()

    assert serving.served() == {"iris": "2"}
    assert serving.store.failure("iris") is None
    assert serving.sample("slipway_model_load_failing", model="iris") == 0


@each_bad_version
def test_invalid_version_is_not_served_without_an_alternative(tmp_path: Path, bad: Bad) -> None:
    serving = Serving(tmp_path / "cache")
    serving.registry.set_alias("iris", PRODUCTION, bad.add(serving.registry))

    serving.sync()

    assert serving.store.missing() == ["iris"]
    with pytest.raises(NotReadyError, match="version 1 of iris cannot be loaded"):
        serving.store.get("iris")


def test_failed_version_is_retried_with_backoff(serving: Serving) -> None:
    promote(serving, BAD[0])
    pauses = []
    for _ in range(8):
        before = serving.failures()
        serving.sync()
        began = serving.clock.now
        while serving.failures() == before or serving.failures() is None:
            serving.clock.now += 0.5
            serving.sync()
        pauses.append(serving.clock.now - began)

    assert pauses[0] == 0
    assert pauses[1:7] == [2, 4, 8, 16, 32, 60]
    assert max(pauses) == LONGEST_RETRY_SECONDS


def test_forced_check_retries_a_failed_version_at_once(serving: Serving) -> None:
    promote(serving, BAD[0])
    serving.sync()
    serving.sync()
    assert serving.failures() == 1
    serving.mend("2")

    serving.sync(force=True)

    assert serving.served() == {"iris": "2"}


def test_another_version_is_tried_at_once(serving: Serving) -> None:
    promote(serving, BAD[0])
    serving.sync()
    register(serving.registry, bundle_files(), promote=True)

    serving.sync()

    assert serving.served() == {"iris": "3"}
    assert serving.store.failure("iris") is None


def test_another_version_resets_the_failure_count(serving: Serving) -> None:
    promote(serving, BAD[0])
    for _ in range(3):
        serving.sync(force=True)
    promote(serving, BAD[0])

    serving.sync()

    failure = serving.failure()
    assert (failure.version, failure.attempts) == ("3", 1)


@pytest.mark.parametrize("way_back", ["alias", "rollback"])
def test_failure_is_cleared_if_the_alias_moves(serving: Serving, way_back: str) -> None:
    promote(serving, BAD[0])
    serving.sync()
    if way_back == "alias":
        serving.registry.delete_alias("iris", PRODUCTION)
    else:
        serving.registry.set_alias("iris", PRODUCTION, "1")

    serving.sync()

    assert serving.served() == {"iris": "1"}
    assert serving.store.failure("iris") is None
    assert serving.sample("slipway_model_load_failing", model="iris") == 0


def test_failure_is_cleared_if_the_model_is_deleted(serving: Serving) -> None:
    bad = bundle_files("rose")
    register(serving.registry, bad, "rose", promote=True)
    serving.registry.replace_file("rose", "1", MODEL_FILE, b"damaged")
    serving.sync()
    assert serving.store.failure("rose") is not None
    serving.registry.delete_model("rose")

    serving.sync()

    assert serving.store.failure("rose") is None


def test_failed_model_does_not_block_updates_of_others(serving: Serving) -> None:
    promote(serving, BAD[0])
    register(serving.registry, bundle_files("rose"), "rose", promote=True)

    serving.sync()

    assert serving.served() == {"iris": "1", "rose": "1"}


def test_crashed_load_is_logged_and_does_not_block_any_model(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    fetch = serving.registry.fetch

    def crash_for_iris(version: ModelVersion, file: str, destination: Path) -> None:
        if version.name == "iris":
            raise ZeroDivisionError("in a library")
        fetch(version, file, destination)

    monkeypatch.setattr(serving.registry, "fetch", crash_for_iris)
    for name in ("iris", "rose"):
        register(serving.registry, bundle_files(name), name, promote=True)

    serving.sync()

    assert serving.served() == {"iris": "1", "rose": "1"}
    failure = serving.failure()
    assert "unexpected error" in failure.reason
    assert "library" not in failure.reason
    assert [entry["version"] for entry in logs if entry["event"] == "model_load_crashed"] == ["2"]
    monkeypatch.undo()
    serving.sync(force=True)
    assert serving.served()["iris"] == "2"


def test_crash_of_a_cached_bundle_does_not_block_other_models(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    register(serving.registry, bundle_files("rose"), "rose", promote=True)
    serving.sync()
    serving.registry.reachable = False
    serving.start()
    last_served = serving.bundle_cache.last_served

    def crash_for_iris(ref: ModelRef) -> LastServed | None:
        if ref.name == "iris":
            raise ZeroDivisionError("in a library")
        return last_served(ref)

    monkeypatch.setattr(serving.bundle_cache, "last_served", crash_for_iris)

    serving.sync()

    assert serving.served() == {"rose": "1"}
    assert [entry["model"] for entry in logs if entry["event"] == "model_load_crashed"] == ["iris"]


def test_version_that_fails_for_days_is_retried_and_logged(serving: Serving) -> None:
    promote(serving, next(bad for bad in BAD if bad.name == "no-tag"))

    for _ in range(1_100):
        serving.sync(force=True)

    failure = serving.failure()
    assert failure.attempts == 1_100
    assert failure.retry_at == serving.clock.now + LONGEST_RETRY_SECONDS


def test_restart_with_invalid_production_serves_previous_one(serving: Serving) -> None:
    promote(serving, BAD[0])
    serving.sync()

    serving.restart()

    model = serving.store.get("iris")
    assert (model.version, model.source) == ("1", "cache")
    failure = serving.failure()
    assert failure.version == "2"
    assert serving.sample("slipway_model_load_failing", model="iris") == 1


def test_new_graph_answers_after_the_swap(serving: Serving) -> None:
    other = linear_classifier(BIAS[::-1].copy())
    row = np.array(GOLDEN_ROWS[:1], dtype=np.float32)
    before = serving.store.get("iris").graph.run(row).scores
    register(serving.registry, bundle_files(model=other), promote=True)

    serving.sync()

    after = serving.store.get("iris").graph.run(row).scores
    assert before is not None
    assert after is not None
    assert not np.allclose(before, after)
