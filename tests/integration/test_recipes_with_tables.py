"""The recipes with typed columns: their scores on held-out rows, and equal answers of every protocol."""

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from slipway_trainer.recipes import Recipe
from slipway_trainer.recipes.fraud import FRAUD_SHARE, ROWS, generate
from slipway_trainer.recipes.fraud import RECIPE as FRAUD
from slipway_trainer.recipes.penguins import RECIPE as PENGUINS
from slipway_trainer.steps.evaluate import best_of
from slipway_trainer.steps.extract import extract
from support.api import Database, make_database
from support.served import check_served, serving
from support.trained import Trained, trained

RECIPES = {recipe.name: recipe for recipe in (FRAUD, PENGUINS)}
# The others are slow.
QUICK = {"penguins logistic-regression"}
EVERY_CANDIDATE = pytest.mark.parametrize(
    ("recipe", "candidate"),
    [
        pytest.param(recipe, one.name, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for recipe in RECIPES.values()
        for one in recipe.candidates
        if (name := f"{recipe.name} {one.name}")
    ],
)


@functools.cache
def results_of(name: str) -> Trained:
    """Return the results of a recipe's steps, computed once."""
    recipe = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        return trained(recipe, extract(recipe, data=None, data_dir=Path(folder), workdir=Path(folder)))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    yield make_database(tmp_path_factory.mktemp("database") / "template.db")
    results_of.cache_clear()


@EVERY_CANDIDATE
def test_every_protocol_answers_like_the_estimator(
    tmp_path: Path, database: Database, recipe: Recipe, candidate: str
) -> None:
    results = results_of(recipe.name)

    with serving(recipe, results, candidate, tmp_path, database) as (api, manifest):
        check_served(api, manifest, recipe, results, candidate)


def test_every_candidate_recognises_held_out_penguins() -> None:
    scores = {name: one.metrics["balanced_accuracy"] for name, one in results_of("penguins").evaluations.items()}

    assert set(scores) == {"logistic-regression", "random-forest"}
    assert min(scores.values()) >= 0.97


@pytest.mark.slow
def test_best_fraud_candidate_passes_the_floors() -> None:
    best = best_of(FRAUD, list(results_of("fraud").evaluations.values()))

    assert best.fitted.candidate.name == "random-forest"
    assert all(best.metrics[name] >= floor for name, floor in FRAUD.floors.items())
    assert best.metrics["average_precision"] > 50 * FRAUD_SHARE


def test_generated_payments_are_repeatable_with_rare_frauds() -> None:
    frame = generate()

    assert frame.equals(generate())
    assert len(frame) == ROWS
    assert frame["is_fraud"].sum() == round(FRAUD_SHARE * ROWS)
    assert 0.03 < frame["country"].isna().mean() < 0.07
    assert 0.08 < frame["age"].isna().mean() < 0.12
