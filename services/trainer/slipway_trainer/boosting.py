"""Converters of XGBoost and LightGBM for skl2onnx. Both libraries are optional: the extra `boosting`."""

import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from slipway_trainer.converters import Converter, Nodes
from slipway_trainer.errors import TrainingError

# The classes that onnxmltools converts, by library.
_CLASSIFIERS = {"xgboost": ("XGBClassifier", "XGBRFClassifier"), "lightgbm": ("LGBMClassifier",)}
_REGRESSORS = {"xgboost": ("XGBRegressor", "XGBRFRegressor"), "lightgbm": ("LGBMRegressor",)}
# LightGBM takes numbers up to it, positive or negative, for 0, and parts 0 from smaller numbers at its negative.
_ZERO = np.float32(1e-35)


def round_down(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest float32 up to each value."""
    with np.errstate(over="ignore"):  # LightGBM's thresholds reach the largest float64
        nearest = values.astype(np.float32)
    above = nearest.astype(np.float64) > values
    nearest[above] = np.nextafter(nearest[above], np.float32(-np.inf))
    rounded: NDArray[np.float64] = nearest.astype(np.float64)
    return rounded


def register_boosting() -> None:
    """Register the converters of the libraries that a recipe has imported.

    Importing onnxmltools takes half a second, which other recipes do not need.

    Raises:
        TrainingError: such a library is imported, but onnxmltools is not installed.
    """
    for library, converter in (("xgboost", _xgboost_converter), ("lightgbm", _lightgbm_converter)):
        if library not in sys.modules:
            continue
        try:
            convert = converter()
        except ImportError as error:
            raise TrainingError(
                f"a model of {library} cannot be exported to ONNX without onnxmltools: install the extra `boosting`, "
                "as in pip install 'slipway[boosting]'"
            ) from error
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
        if library == "lightgbm":
            options["raw_scores"] = [True, False]
        for name in _CLASSIFIERS[library]:
            kind, shape = getattr(sys.modules[library], name), calculate_linear_classifier_output_shapes
            update_registered_converter(kind, f"Slipway{name}", shape, convert, options=options)
        for name in _REGRESSORS[library]:
            kind, shape = getattr(sys.modules[library], name), calculate_linear_regressor_output_shapes
            update_registered_converter(kind, f"Slipway{name}", shape, convert)


def _xgboost_converter() -> Converter:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415

    def convert(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401  # skl2onnx has no types
        model = operator.raw_operator
        if model.booster not in {None, "gbtree"}:
            raise NotImplementedError(f"booster={model.booster!r} is not supported, only 'gbtree'")
        booster = model.get_booster()
        content = json.loads(booster.save_raw("json"))
        classes = content["learner"]["gradient_booster"]["model"]["tree_info"]

        def change(attributes: dict[str, Any]) -> None:
            # The converter assumes one tree per class and round, but XGBRFClassifier has many.
            if attributes.get("post_transform") == "SOFTMAX":
                attributes["class_ids"] = [classes[tree] for tree in attributes["class_treeids"]]

        names = booster.feature_names
        # The converter reads a feature's index from its name, as in `f0`; estimators fitted on a frame have others.
        booster.feature_names = None
        try:
            convert_xgboost(scope, operator, Nodes(container, change))
        finally:
            booster.feature_names = names

    return convert


def _lightgbm_converter() -> Converter:
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415

    def convert(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
        model = operator.raw_operator
        parameters = model.get_params()
        if model.boosting_type == "rf":
            raise NotImplementedError("boosting_type='rf' is not supported: use 'gbdt', or a forest of scikit-learn")
        if parameters.get("zero_as_missing"):
            raise NotImplementedError("zero_as_missing is not supported: leave the zeros in the data empty")
        is_raw = hasattr(model, "classes_") and container.get_options(model, {"raw_scores": False})["raw_scores"]

        def change(attributes: dict[str, Any]) -> None:
            if "nodes_values" in attributes:
                # LightGBM compares `x <= t` with a float64 threshold. The largest float32 up to t gives the same
                # result for every float32 x.
                values = np.array(attributes["nodes_values"], dtype=np.float64)
                values[values == -_ZERO] = np.nextafter(-_ZERO, np.float32(-np.inf))
                attributes["nodes_values"] = round_down(values).tolist()
                if is_raw:
                    attributes["post_transform"] = "NONE"

        convert_lightgbm(scope, operator, Nodes(container, change))

    return convert
