"""Estimators that skl2onnx would convert wrongly, or rejects without a reason that helps."""

from collections.abc import Iterator
from typing import Any

from sklearn.calibration import _CalibratedClassifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import KNNImputer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from slipway_trainer.converters import HISTOGRAM_MODELS
from slipway_trainer.errors import TrainingError
from slipway_trainer.nested import nested, selecting

# Estimators whose converters pass separate columns on to their members.
_PASSING_COLUMNS = (ColumnTransformer, FeatureUnion, TransformedTargetRegressor, VotingClassifier, VotingRegressor)


def check_limits(estimator: Any, by_column: bool) -> None:  # noqa: ANN401  # scikit-learn has no types
    """Check a fitted estimator and all estimators inside it.

    Args:
        estimator: the estimator.
        by_column: whether its graph has one input per column.

    Raises:
        TrainingError: one of them cannot be exported; the message names an alternative.
    """
    for one in nested(estimator):
        if isinstance(one, TargetEncoder) and not hasattr(one, "categories_"):
            continue  # the template of a fitted one
        for reason in _reasons(one):
            raise TrainingError(reason)
    outer = selecting(estimator)
    if by_column and outer is not None and not isinstance(outer, _PASSING_COLUMNS):
        name = type(outer).__name__
        raise TrainingError(
            f"{name} around a ColumnTransformer cannot be exported to ONNX: skl2onnx gives its members one matrix "
            f"instead of columns; put the ColumnTransformer first, as in make_pipeline(ColumnTransformer(…), {name}(…))"
        )


def _reasons(one: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield why a fitted estimator cannot be exported."""
    kind = type(one).__name__
    if isinstance(one, HISTOGRAM_MODELS) and getattr(one, "is_categorical_", None) is not None:
        yield (
            f"{kind} with categorical_features cannot be exported to ONNX: skl2onnx would treat the categories as "
            "numbers; encode them before, with OneHotEncoder or OrdinalEncoder in a ColumnTransformer, and set "
            "categorical_features=None"
        )
    if isinstance(one, CountVectorizer):  # and TfidfVectorizer, which derives from it
        yield (
            f"{kind} cannot be exported to ONNX: a graph splits text into words by other rules than scikit-learn; "
            "encode the text with OneHotEncoder, or compute numbers from it in the data"
        )
    if kind.startswith("CatBoost"):
        yield (
            f"{kind} cannot be exported to ONNX: CatBoost's own export supports no pipelines; use "
            "HistGradientBoosting, XGBoost or LightGBM"
        )
    if isinstance(one, KNNImputer):
        yield "KNNImputer cannot be exported to ONNX: skl2onnx supports it only for newer graphs; use SimpleImputer"
    if isinstance(one, _CalibratedClassifier) and one.method == "isotonic":
        yield (
            'CalibratedClassifierCV with method="isotonic" cannot be exported to ONNX: skl2onnx would return the '
            'nearest step instead of interpolating between steps; use method="sigmoid"'
        )
    if (
        isinstance(one, TargetEncoder)
        and len({array.dtype.kind in "OUT" for array in getattr(one, "categories_", ())}) > 1
    ):
        yield (
            "TargetEncoder for text and numbers together cannot be exported to ONNX: skl2onnx would compare the "
            "numbers as text; use one TargetEncoder for the text columns and another one for the others"
        )
    if isinstance(one, OneHotEncoder) and one.handle_unknown == "infrequent_if_exist":
        yield (
            'OneHotEncoder with handle_unknown="infrequent_if_exist" cannot be exported to ONNX: the graph would fail '
            'on unknown values; use handle_unknown="ignore"'
        )
    if isinstance(one, StackingClassifier) and "decision_function" in getattr(one, "stack_method_", ()):
        yield (
            "StackingClassifier with a member without probabilities cannot be exported to ONNX: skl2onnx supports only "
            "stack_method='predict_proba'; wrap the member in CalibratedClassifierCV, or replace it"
        )
