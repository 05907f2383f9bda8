"""Splitting: the content of a row decides its side, so that it stays there as the data grows."""

import numpy as np
import pytest

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe, find_recipe
from slipway_trainer.splitting import held_out_rows
from slipway_trainer.tasks.base import Target

BIKES = find_recipe("bike-demand")
IRIS = find_recipe("iris")


def rows(count: int, seed: int = 0) -> tuple[FloatMatrix, Target]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 4)).astype(np.float32), random.normal(size=count)


def classes(*counts: int) -> tuple[FloatMatrix, Target]:
    features, _ = rows(sum(counts))
    return features, np.repeat(np.arange(len(counts)), counts)


def with_(recipe: Recipe, **changes: object) -> Recipe:
    return recipe.model_copy(update=changes)


def test_a_random_split_holds_out_the_fraction() -> None:
    assert held_out_rows(BIKES, *rows(20_000)).mean() == pytest.approx(0.2, abs=0.01)
    assert held_out_rows(with_(BIKES, test_fraction=0.5), *rows(20_000)).mean() == pytest.approx(0.5, abs=0.01)


def test_rows_stay_on_their_side_as_the_data_grows_and_moves() -> None:
    features, target = rows(5_000)
    before = held_out_rows(BIKES, features, target)
    more, more_target = rows(700, seed=1)
    order = np.random.default_rng(2).permutation(5_700)
    grown, grown_target = np.concatenate([features, more])[order], np.concatenate([target, more_target])[order]

    after = held_out_rows(BIKES, grown, grown_target)

    back = np.argsort(order)
    assert (after[back][:5_000] == before).all()


def test_the_seed_moves_no_row() -> None:
    features, target = rows(1_000)

    assert (held_out_rows(with_(BIKES, seed=7), features, target) == held_out_rows(BIKES, features, target)).all()


def test_a_smaller_fraction_holds_out_some_of_the_same_rows() -> None:
    features, target = rows(1_000)

    small, large = (held_out_rows(with_(BIKES, test_fraction=part), features, target) for part in (0.1, 0.3))

    assert (large[small]).all()


@pytest.mark.parametrize("recipe", [BIKES, IRIS], ids=lambda recipe: recipe.name)
def test_equal_rows_are_on_one_side(recipe: Recipe) -> None:
    features, target = classes(60, 60, 60)
    twice, twice_target = np.concatenate([features, features]), np.concatenate([target, target])

    held_out = held_out_rows(recipe, twice, twice_target)

    assert (held_out[:180] == held_out[180:]).all()


def test_minus_zero_is_zero() -> None:
    features, target = rows(500)
    features[:, 0] = 0.0
    other = features.copy()
    other[:, 0] = -0.0

    assert (held_out_rows(BIKES, features, target) == held_out_rows(BIKES, other, target)).all()


def test_a_stratified_split_keeps_the_classes_in_proportion() -> None:
    features, target = classes(50, 100, 10)

    held_out = held_out_rows(IRIS, features, target)

    assert np.bincount(target[held_out]).tolist() == [10, 20, 2]


def test_stratified_split_moves_few_rows_as_a_class_grows() -> None:
    features, target = classes(400, 400)
    before = held_out_rows(IRIS, features, target)
    more, _ = rows(20, seed=5)

    after = held_out_rows(IRIS, np.concatenate([features, more]), np.concatenate([target, np.ones(20, dtype=np.int64)]))

    assert np.count_nonzero(after[:800] != before) <= 10
