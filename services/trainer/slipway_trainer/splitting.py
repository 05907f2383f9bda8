"""Choose the test rows of a recipe.

The content of a row decides, not its position or a seed. When the data grows, test rows never become training rows. So
a champion of yesterday's data is scored on rows that it has not seen.

Repeated rows are spread: the hash of a row includes how many equal rows precede it. Otherwise all rows of a frequent
combination would be on one side, and the scores of a table with few distinct rows would depend on chance. With a
`split_key`, such as a customer, the hash of the key decides, so all rows of one key are on one side.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway_core.rows import FloatMatrix
from slipway_trainer.recipes import Recipe
from slipway_trainer.tasks.base import Target

Hashes = NDArray[np.uint64]

# The constants of the SplitMix64 generator (G. L. Steele and others, 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
# The hash of a missing value, whether None, NaN or NaT.
_MISSING = np.uint64(0x6D697373696E6721)
# Larger numbers have no exact float64.
_MAX_EXACT = 2.0**53


def held_out_rows(
    recipe: Recipe, features: FloatMatrix | pd.DataFrame, target: Target, keys: Hashes | None = None
) -> NDArray[np.bool_]:
    """Return a mask of the test rows, (n_rows,) bool.

    `time`: the last rows. `random`: the rows whose hash, as a number from 0 to 1, is below the recipe's fraction.
    `stratified`: the same rows, and at least one row of each class on each side.

    The classes of a stratified split have equal shares of test rows up to chance. Exact shares are impossible: a rule
    that moves no row when rows are added, in any order, can depend on nothing but the row itself. The one exception is
    a class without a row on one side. Then its row (or key) with the nearest hash moves there, until the class has
    another row on that side. With a fraction of 0.2 this concerns 11 % of the classes with 10 rows, 0.001 % with 50.

    Args:
        recipe: the recipe with the split and the fraction.
        features: (n_rows, n_features) of any types; ordered by time if the split is by time.
        target: (n_rows,).
        keys: (n_rows,) the `row_hashes` of the recipe's `split_key`; None to split by row.
    """
    if recipe.split == "time":
        return np.arange(len(target)) >= len(target) - round(len(target) * recipe.test_fraction)
    hashes = _numbered(pd.DataFrame(features), target) if keys is None else keys
    held_out = hashes.astype(np.float64) / 2.0**64 < recipe.test_fraction
    return _with_all_classes(held_out, hashes, target) if recipe.split == "stratified" else held_out


def row_hashes(frame: pd.DataFrame) -> Hashes:
    """Return a hash of each row, (n_rows,), which depends on the values only, not on names, index or types.

    A number below 2**53 has the same hash in a float, integer, boolean or object column, and as text: pandas reads a
    whole column as text if one row has a word in it. Larger integers are rounded to float64. All missing values are
    equal, and 0.0 equals -0.0. The hashes are the same on every platform.

    Args:
        frame: columns of numbers, booleans, text, dates or a mixture, in a fixed order. Pass fractions always as
            float32 or always as float64: most decimal fractions, such as 0.1, have different values in the two.
    """
    hashes = np.zeros(len(frame), dtype=np.uint64)
    for position in range(frame.shape[1]):
        hashes = _mixed(hashes + _column_hashes(frame.iloc[:, position]))
    return hashes


def _numbered(features: pd.DataFrame, target: Target) -> Hashes:
    """Return a hash of each row's content and of the number of equal rows before it."""
    rows = _mixed(row_hashes(features) + row_hashes(pd.DataFrame({"target": target})))
    repeats = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    return _mixed(rows + _mixed(repeats.astype(np.uint64)))


def _with_all_classes(held_out: NDArray[np.bool_], hashes: Hashes, target: Target) -> NDArray[np.bool_]:
    """Move a row, or the rows of a key, to a side that lacks its class, unless the other side would lose a class."""
    for label in np.unique(target):
        for side in (True, False):
            if (held_out[target == label] == side).any():
                continue
            # The hash nearest to the side: the lowest for the test rows.
            near = np.unique(hashes[target == label])[:: 1 if side else -1]
            for moved in (np.where(hashes == one, side, held_out) for one in near):
                if np.isin(target[held_out != side], target[moved != side]).all():
                    held_out = moved
                    break
    return held_out


def _column_hashes(column: pd.Series) -> Hashes:
    if pd.api.types.is_numeric_dtype(column):
        return _number_hashes(column.to_numpy(dtype=np.float64, na_value=np.nan))
    codes, distinct = pd.factorize(column)
    # The code of a missing value is -1, which selects the last entry.
    hashes: Hashes = np.append(_object_hashes(np.asarray(distinct, dtype=object)), _MISSING)[codes]
    return hashes


def _number_hashes(numbers: NDArray[np.float64]) -> Hashes:
    bits = (numbers + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    return np.where(np.isnan(numbers), _MISSING, _mixed(bits))


def _object_hashes(values: NDArray[np.object_]) -> Hashes:
    """Return the hashes of values that are not missing."""
    # Read as pandas reads the column of a CSV file.
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    words: Hashes = pd.util.hash_array(np.array([str(value) for value in values], dtype=object), categorize=False)
    hashes: Hashes = np.where(np.abs(numbers) < _MAX_EXACT, _number_hashes(numbers), words)
    return hashes


def _mixed(numbers: Hashes) -> Hashes:
    """Return the output of SplitMix64 for each state, so that similar numbers have unrelated hashes."""
    numbers = numbers + _STEP
    for shift, multiplier in _MULTIPLIERS:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * multiplier
    return numbers ^ (numbers >> np.uint64(31))
