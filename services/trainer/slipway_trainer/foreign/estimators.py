"""Models with scikit-learn's interface: those of scikit-learn, XGBoost and LightGBM."""

import copy
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from slipway_core.columns import FLOAT32_EXACT, MAX_NAME_LENGTH
from slipway_core.graph import ports
from slipway_core.manifest import GraphNames
from slipway_trainer.errors import ForeignModelError, TrainingError, reason_of
from slipway_trainer.export import export, round_to_float32
from slipway_trainer.foreign.boosters import NativeBooster, check_categories
from slipway_trainer.foreign.columns import INTEGERS, Feature, Kind, are_plain_floats, column_of, frame_of, has_gap
from slipway_trainer.foreign.data import GAPS_OF_ESTIMATORS
from slipway_trainer.foreign.model import Cells, Converted, Expected, graph_labels
from slipway_trainer.foreign.schema import Known
from slipway_trainer.nested import nested, selecting
from slipway_trainer.recipes.base import Label

_BINARY = 2
# LightGBM's own names of columns without names.
_UNNAMED = re.compile(r"Column_\d+", re.ASCII)
# Texts that can stand for a missing one in the graph, in the order of preference.
_PLACEHOLDERS = ("", "missing", "_missing_", "__missing__")


class EstimatorModel:
    """An estimator or pipeline; see `slipway_trainer.foreign.model.ForeignModel`."""

    gaps: frozenset[Kind] = GAPS_OF_ESTIMATORS

    def __init__(self, uri: str, loaded: Any) -> None:  # noqa: ANN401  # estimators have no common type
        """Inspect a loaded estimator.

        Args:
            uri: the model's address, for messages.
            loaded: the estimator, or a native booster.

        Raises:
            ForeignModelError: it is neither a classifier with probabilities nor a regressor of one value.
        """
        self._booster = loaded if isinstance(loaded, NativeBooster) else None
        self._estimator: Any = loaded.estimator if isinstance(loaded, NativeBooster) else loaded
        self._uri = uri
        self.task: Literal["classification", "regression"] = _task_of(uri, self._estimator)
        check_categories(uri, self._estimator)
        self.classes: tuple[Label, ...] = ()
        if self.task == "classification":
            self.classes = tuple(_label(uri, value) for value in self._estimator.classes_)
        self.known = self._known()
        self._by_name = self.known.names is not None
        self._own_classes = list(getattr(self._estimator, "classes_", ()))

    def _known(self) -> Known:
        if self._booster is not None:
            names = self._booster.feature_names
            return Known(None if names is None else tuple(names), self._booster.n_features, fallback="float64")
        found = getattr(self._estimator, "feature_names_in_", None)
        names = None if found is None else [str(name) for name in found]
        if names is not None and all(_UNNAMED.fullmatch(name) for name in names):
            names = None
        return Known(None if names is None else tuple(names), getattr(self._estimator, "n_features_in_", None))

    def described(self, features: Sequence[Feature], cells: Cells | None) -> tuple[Feature, ...]:
        """Return the columns with the values that encoders know, and those that an imputer fills in."""
        encoded = dict(_encoded(self._estimator, [feature.name for feature in features]))
        known = {value for _, values in encoded.values() for value in values.tolist()}
        placeholder = next(text for text in _PLACEHOLDERS if text not in known)
        fills = any(isinstance(one, SimpleImputer) for one in nested(self._estimator))
        found = []
        for index, feature in enumerate(features):
            encoder, values = encoded.get(feature.name, (None, np.empty(0, dtype=object)))
            present = [value for value in values.tolist() if not _is_missing(value)]
            categories = _categories(feature, present)
            may_be_missing = (feature.nullable or fills or len(present) < len(values)) and feature.kind != "bool"
            found.append(
                replace(
                    feature,
                    kind="float64" if _is_wide(feature, index, cells) else feature.kind,
                    nullable=(cells is not None and has_gap(cells, index))
                    or (may_be_missing and self._fills(features, index)),
                    categories=categories,
                    is_closed=categories is not None and encoder.handle_unknown == "error",
                    missing=placeholder,
                )
            )
        return tuple(found)

    def _fills(self, features: Sequence[Feature], index: int) -> bool:
        """Return whether the estimator itself takes a missing value in a column."""
        row = np.empty((1, len(features)), dtype=object)
        encoded = dict(_encoded(self._estimator, [feature.name for feature in features]))
        for place, feature in enumerate(features):
            _, values = encoded.get(feature.name, (None, np.array(["" if feature.kind == "string" else 1])))
            row[0, place] = next((value for value in values.tolist() if not _is_missing(value)), None)
        row[0, index] = None
        try:
            self.predict(features, row)
        except ForeignModelError:
            return False
        return True

    def words(self, feature: Feature) -> tuple[str, ...] | None:  # noqa: ARG002  # a graph needs it
        """Return None: an encoder's texts are the column's categories."""
        return None

    def predict(self, features: Sequence[Feature], cells: Cells) -> Expected:
        """Return the estimator's own predictions."""
        frame = frame_of(features, cells)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return self._predicted(frame)
            except ForeignModelError:
                raise
            except Exception as error:  # an estimator may raise anything for a value
                raise ForeignModelError(f"the model rejects rows ({reason_of(error)})") from error

    def _predicted(self, frame: pd.DataFrame) -> Expected:
        if self._booster is not None:
            found = self._booster.predict(frame)
            if self.classes:
                return Expected(found.argmax(axis=1), found)
            return Expected(found.reshape(len(frame)), None)
        given: Any = frame if self._by_name else frame.to_numpy()
        predicted = np.asarray(self._estimator.predict(given))
        if not self.classes:
            if predicted.size != len(frame):
                raise ForeignModelError(
                    f"{self._uri} predicts {predicted.shape[-1]} values per row; log one model for each of them"
                )
            return Expected(predicted.astype(np.float64).reshape(-1), None)
        places = {label: index for index, label in enumerate(self._own_classes)}
        indices = np.array([places[label] for label in predicted.reshape(-1).tolist()], dtype=np.int64)
        return Expected(indices, np.asarray(self._estimator.predict_proba(given), dtype=np.float64))

    def convert(self, features: Sequence[Feature]) -> Converted:
        """Export the estimator; the loaded one stays as it is."""
        copied = copy.deepcopy(self._estimator)
        round_to_float32(copied)
        _replace_missing(copied, features)
        copied = _with_sparse_zeros(copied)
        as_matrix = are_plain_floats(features) and selecting(copied) is None
        columns = tuple(column_of(feature, as_matrix=as_matrix) for feature in features)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = export(copied, columns, {"zipmap": False} if self.classes else {})
        return Converted(model, _outputs(model, self.classes), columns)


def _is_wide(feature: Feature, index: int, cells: Cells | None) -> bool:
    """Return whether a column has integers that float32, in which the graph takes them, does not hold exactly."""
    if feature.kind not in INTEGERS or cells is None:
        return False
    return any(value is not None and abs(value) > FLOAT32_EXACT for value in cells[:, index])


def _task_of(uri: str, estimator: Any) -> Literal["classification", "regression"]:  # noqa: ANN401
    inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    name = type(inner).__name__
    if is_classifier(estimator):
        if not hasattr(estimator, "predict_proba"):
            raise ForeignModelError(
                f"the {name} in {uri} returns no probabilities, which a classifier requires; wrap it, as in "
                "CalibratedClassifierCV(SVC(), ensemble=False), and log it again"
            )
        if not isinstance(getattr(estimator, "classes_", None), np.ndarray) or estimator.classes_.ndim != 1:
            raise ForeignModelError(f"the {name} in {uri} predicts several targets; log one model for each target")
        if len(estimator.classes_) < _BINARY:
            raise ForeignModelError(f"the {name} in {uri} knows only one class; train it on rows of two or more")
        return "classification"
    if is_regressor(estimator):
        return "regression"
    raise ForeignModelError(
        f"the {name} in {uri} is neither a classifier nor a regressor of scikit-learn's interface; log the whole "
        "pipeline that predicts"
    )


def _label(uri: str, value: Any) -> Label:  # noqa: ANN401  # any label
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if isinstance(plain, (str, int, bool)):
        return plain
    raise ForeignModelError(
        f"the class {plain!r} of {uri} is a {type(plain).__name__}; train the model with labels that are text, "
        "integers or booleans"
    )


def _is_missing(value: Any) -> bool:  # noqa: ANN401
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _categories(feature: Feature, present: Sequence[Any]) -> tuple[str, ...] | tuple[float, ...] | None:
    if not present or feature.kind == "bool":
        return None
    if feature.kind == "string":
        is_text = all(isinstance(value, str) and len(value) <= MAX_NAME_LENGTH for value in present)
        return tuple(map(str, present)) if is_text else None
    return tuple(map(float, present)) if all(isinstance(value, (int, float)) for value in present) else None


def _encoded(estimator: Any, names: Sequence[str]) -> Iterator[tuple[str, tuple[Any, Any]]]:  # noqa: ANN401
    """Yield each column that an encoder of categories takes, with the encoder and its categories."""
    for one in nested(estimator):
        if not isinstance(one, ColumnTransformer):
            continue
        for _, transformer, columns in getattr(one, "transformers_", ()):
            chosen = _chosen(columns, names)
            steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
            for step in steps:
                found = getattr(step, "categories_", ())
                if isinstance(step, (OneHotEncoder, OrdinalEncoder)) and len(found) == len(chosen):
                    yield from ((name, (step, values)) for name, values in zip(chosen, found, strict=True))
    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else None
    if isinstance(first, (OneHotEncoder, OrdinalEncoder)) and len(first.categories_) == len(names):
        yield from ((name, (first, values)) for name, values in zip(names, first.categories_, strict=True))


def _chosen(columns: Any, names: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Return the names of the columns that a part of a ColumnTransformer takes."""
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    if isinstance(columns, slice):
        columns = range(len(names))[columns] if not isinstance(columns.start or columns.stop, str) else []
    if isinstance(columns, np.ndarray) and columns.dtype == bool:
        columns = np.flatnonzero(columns).tolist()
    return [one if isinstance(one, str) else names[int(one)] for one in columns]


def _replace_missing(estimator: Any, features: Sequence[Feature]) -> None:  # noqa: ANN401
    """Replace missing texts, which a graph cannot hold, by the text that the graph receives for them."""
    placeholder = next((feature.missing for feature in features if feature.kind == "string"), "")
    for one in nested(estimator):
        if isinstance(one, SimpleImputer) and getattr(one, "statistics_", np.empty(0)).dtype.kind in "OU":
            if _is_missing(one.missing_values):
                one.missing_values = placeholder
        elif isinstance(one, (OneHotEncoder, OrdinalEncoder)):
            for values in getattr(one, "categories_", ()):
                if values.dtype.kind == "O":
                    values[[_is_missing(value) for value in values]] = placeholder


def _with_sparse_zeros(estimator: Any) -> Any:  # noqa: ANN401
    """Return a pipeline that replaces zeros by missing values before XGBoost, if its encoder returns sparse rows.

    XGBoost takes the zeros that a sparse matrix does not store for missing values; a graph has no sparse matrices.
    """
    if not isinstance(estimator, Pipeline) or len(estimator.steps) < 2:  # noqa: PLR2004
        return estimator
    *before, last = estimator.steps
    encoder, model = before[-1][1], last[1]
    is_sparse = getattr(encoder, "sparse_output_", False) or (
        isinstance(encoder, OneHotEncoder) and encoder.sparse_output
    )
    if not (is_sparse and type(model).__name__.startswith("XGB")):
        return estimator
    width = int(model.n_features_in_)
    zeros = SimpleImputer(missing_values=0.0, strategy="constant", fill_value=np.nan, keep_empty_features=True)
    zeros.fit(np.ones((1, width)))
    return Pipeline([*before, ("zeros", zeros), last])


def _outputs(model: bytes, classes: Sequence[Label]) -> GraphNames:
    """Return the names of a graph's outputs.

    Raises:
        TrainingError: the outputs are neither one float value, nor a label with float scores.
    """
    _, outputs = ports(model)
    floats = [port.name for port in outputs if port.kind in {"tensor(float)", "tensor(double)"}]
    labels = [port for port in outputs if port.name not in floats]
    if len(floats) != 1 or len(labels) != bool(classes):
        found = ", ".join(f"{port.name} {port.kind}" for port in outputs)
        expected = "a label and probabilities" if classes else "one number per row"
        raise TrainingError(f"its graph returns {found} instead of {expected}; export it to ONNX with its own library")
    if not classes:
        return GraphNames(label=floats[0])
    return GraphNames(label=labels[0].name, scores=floats[0], labels=graph_labels(classes))
