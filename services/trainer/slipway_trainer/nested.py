"""Find the estimators inside pipelines and ensembles."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.calibration import _CalibratedClassifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree

# The attributes with the members of ensembles and wrappers.
_MEMBERS = ("estimators_", "estimator", "regressor_", "transformer_list")


def nested(estimator: Any) -> Iterator[Any]:  # noqa: ANN401  # scikit-learn has no types
    """Yield an estimator and every estimator inside it, fitted or not, each once."""
    found: dict[int, Any] = {}
    _collect(estimator, found)
    yield from found.values()


def _collect(value: Any, found: dict[int, Any]) -> None:  # noqa: ANN401
    if isinstance(value, _CalibratedClassifier) or (hasattr(value, "get_params") and not isinstance(value, type)):
        if id(value) in found:
            return
        found[id(value)] = value
        # The trees of forests are many, and hold no other estimator.
        children = [] if isinstance(value, BaseDecisionTree) else list(vars(value).values())
    elif isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        children = list(np.ravel(value)) if isinstance(value, np.ndarray) else list(value)
    else:
        return
    for child in children:
        _collect(child, found)


def selecting(estimator: Any) -> Any:  # noqa: ANN401
    """Return the outermost estimator that passes its input on to a ColumnTransformer; None without one.

    A pipeline counts as its first step, so for a pipeline that begins with a ColumnTransformer it is the latter.
    """
    if isinstance(estimator, Pipeline):
        return selecting(estimator.steps[0][1])
    if isinstance(estimator, ColumnTransformer):
        return estimator
    members = (getattr(estimator, name, None) for name in _MEMBERS)
    inside = [one for member in members if member is not None for one in _members(member)]
    return estimator if any(selecting(one) is not None for one in inside) else None


def _members(value: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(value, np.ndarray):
        return list(np.ravel(value))
    return [one[1] if isinstance(one, tuple) else one for one in value] if isinstance(value, list) else [value]
