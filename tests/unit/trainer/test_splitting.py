"""Splitting: the content of a row decides its side, so that it stays there as the data grows."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe, find_recipe
from slipway_trainer.splitting import held_out_rows, row_hashes
from slipway_trainer.tasks.base import Target

BIKES = find_recipe("bike-demand")
IRIS = find_recipe("iris")


def rows(count: int, seed: int = 0) -> tuple[FloatMatrix, Target]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 4)).astype(np.float32), random.normal(size=count)


def with_(recipe: Recipe, **changes: object) -> Recipe:
    return recipe.model_copy(update=changes)


def mixed_rows(count: int, levels: int, seed: int) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return features of several types with `levels` values each, some of them missing, and two classes."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, levels, size=(5, count))
    words = np.array([None, *(f"word {level}" for level in range(1, levels))], dtype=object)
    frame = pd.DataFrame(
        {
            "single": np.where(codes[0] == 0, np.nan, codes[0] / 10).astype(np.float32),
            "double": codes[1] / 10,
            "whole": codes[2],
            "truth": codes[3] % 2 == 0,
            "text": words[codes[4]],
        }
    )
    return frame, random.integers(0, 2, count)


def sides(recipe: Recipe, features: pd.DataFrame, target: Target, keys: Any) -> Counter[Hashable]:
    """Count the copies of each distinct row on each side."""
    held_out = held_out_rows(recipe, features, target, None if keys is None else row_hashes(pd.DataFrame(keys)))
    content = features.astype(object).where(features.notna(), None).assign(target=target, keys=keys, held_out=held_out)
    return Counter(content.itertuples(index=False, name=None))


@pytest.mark.parametrize("fraction", [0.2, 0.5])
@pytest.mark.parametrize("recipe", [BIKES, with_(IRIS, split="random"), IRIS], ids=["bikes", "random", "stratified"])
def test_the_fraction_of_rows_is_held_out(recipe: Recipe, fraction: float) -> None:
    features, target = rows(20_000)
    labels = (target > 1).astype(np.int64) if recipe.classes else target

    held_out = held_out_rows(with_(recipe, test_fraction=fraction), features, labels)

    assert held_out.mean() == pytest.approx(fraction, abs=0.01)
    assert held_out[target > 1].mean() == pytest.approx(fraction, abs=0.02)


@pytest.mark.parametrize("split", ["random", "stratified"])
@pytest.mark.parametrize("is_keyed", [False, True], ids=["by row", "by key"])
@pytest.mark.parametrize("levels", [2, 3, 40])
def test_added_rows_move_no_row(split: str, is_keyed: bool, levels: int) -> None:
    recipe = with_(IRIS, split=split)
    for seed in range(8):
        random = np.random.default_rng(seed)
        features, target = mixed_rows(400, levels, seed)
        new, new_target = mixed_rows(150, levels + 1, 100 + seed)
        again = random.integers(0, 400, 100)
        order = random.permutation(650)
        keys = random.integers(0, 60, 550) if is_keyed else None
        old_keys, all_keys = (None, None) if keys is None else (keys[:400], np.append(keys, keys[again])[order])
        grown = pd.concat([features, new, features.iloc[again]]).iloc[order]
        grown_target = np.concatenate([target, new_target, target[again]])[order]

        before = sides(recipe, features, target, old_keys)
        after = sides(recipe, grown, grown_target, all_keys)

        assert before <= after


def test_repeated_rows_are_spread() -> None:
    features, target = np.ones((10_000, 4), dtype=np.float32), np.ones(10_000)

    held_out = held_out_rows(BIKES, features, target)

    assert held_out.mean() == pytest.approx(0.2, abs=0.015)
    assert held_out[1:][held_out[:-1]].mean() == pytest.approx(0.2, abs=0.03)


def test_the_seed_moves_no_row() -> None:
    features, target = rows(1_000)

    assert (held_out_rows(with_(BIKES, seed=7), features, target) == held_out_rows(BIKES, features, target)).all()


def test_a_smaller_fraction_holds_out_some_of_the_same_rows() -> None:
    features, target = rows(1_000)

    small, large = (held_out_rows(with_(BIKES, test_fraction=part), features, target) for part in (0.1, 0.3))

    assert (large[small]).all()


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.99])
@pytest.mark.parametrize("n_keys", [0, 2, 3], ids=["by row", "two keys a class", "three keys a class"])
def test_each_class_of_a_stratified_split_is_on_both_sides(n_keys: int, fraction: float) -> None:
    target = np.repeat([0, 1, 2], [100, 5, 3])
    for seed in range(20):
        features, _ = rows(len(target), seed)
        keys = (
            row_hashes(pd.DataFrame([target, np.arange(len(target)) % n_keys, 0 * target + seed]).T) if n_keys else None
        )

        held_out = held_out_rows(with_(IRIS, test_fraction=fraction), features, target, keys)

        assert set(target[held_out]) == set(target[~held_out]) == {0, 1, 2}
        if keys is not None:
            assert not set(keys[held_out]) & set(keys[~held_out])


def test_a_key_of_two_classes_moves_only_if_both_remain() -> None:
    # Class 1 has two keys; the second one is the only key of class 2, so class 2 cannot be on both sides.
    target = np.array([0] * 20 + [1, 1, 2])
    names = [*range(20), 20, 21, 21]
    for seed in range(20):
        keys = row_hashes(pd.DataFrame({"key": names, "seed": seed}))

        held_out = held_out_rows(with_(IRIS, test_fraction=0.05), rows(23)[0], target, keys)

        assert {0, 1} <= set(target[held_out])
        assert {0, 1} <= set(target[~held_out])


SAME = {
    "one": [1, 1.0, True, "1", "1.0", np.float32(1), np.int8(1), np.uint64(1), np.bool_(True)],
    "zero": [0.0, -0.0, 0, False, np.float32(-0.0), "0"],
    "a half": [0.5, np.float32(0.5), "0.5", ".50"],
    "missing": [None, float("nan"), np.float32("nan"), pd.NaT, pd.NA, -np.float64("nan")],
    "a word": ["ünï", np.str_("ünï")],
}


@pytest.mark.parametrize("values", SAME.values(), ids=SAME.keys())
def test_equal_values_of_different_types_have_one_hash(values: list[Any]) -> None:
    plain = [pd.Series([value]) for value in values]
    as_objects = [pd.Series([value], dtype=object) for value in values]
    as_categories = [pd.Series([value]).astype("category") for value in values]
    filled = [pd.Series([value, "other"], dtype=object) for value in values]

    found = {row_hashes(column.to_frame())[0] for column in (*plain, *as_objects, *as_categories, *filled)}

    assert len(found) == 1


def test_missing_values_of_extension_types_have_one_hash() -> None:
    kinds = ("Int64", "Float32", "boolean", "string", "str", "category", "datetime64[ns]", "float64", "object")

    assert len({row_hashes(pd.DataFrame({"a": pd.Series([None], dtype=kind)}))[0] for kind in kinds}) == 1


def test_different_rows_have_different_hashes() -> None:
    cells = [
        0,
        1,
        -1,
        0.1,
        np.float32(0.1),
        1e300,
        "",
        " ",
        "a",
        "nan",
        "None",
        "True",
        "2026-01-01",
        None,
        2**60,
        "a b",
    ]
    frame = pd.DataFrame([(first, second) for first in cells for second in cells], dtype=object)

    assert len(set(row_hashes(frame))) == len(cells) ** 2


def test_hashes_depend_on_values_only() -> None:
    frame, _ = mixed_rows(50, 5, seed=0)
    order = np.random.default_rng(0).permutation(50)

    moved = row_hashes(frame.iloc[order].set_axis([*"vwxyz"], axis="columns"))

    assert (moved == row_hashes(frame)[order]).all()


def test_hashes_stay_the_same_in_later_versions() -> None:
    frame = pd.DataFrame({"number": [0.5, -3.0, np.nan], "text": ["male", None, "ünï"], "mixed": [1, "1", "x"]})

    assert row_hashes(frame).tolist() == [3090266506679071620, 15485645976717052439, 15622585250710120880]


def test_minus_zero_is_zero_and_every_nan_is_one() -> None:
    features, target = rows(500)
    features[:, 0] = 0.0
    features[:, 1] = np.nan
    other = features.copy()
    other[:, 0] = -0.0
    other.view(np.uint32)[:, 1] = 0xFFC00001

    assert np.isnan(other[:, 1]).all()
    assert (held_out_rows(BIKES, features, target) == held_out_rows(BIKES, other, target)).all()
