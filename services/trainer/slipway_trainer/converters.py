"""Corrections and additions to skl2onnx's converters of scikit-learn's estimators."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import get_model_alias
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.operator_converters.common import concatenate_variables
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

Converter = Callable[[Any, Any, Any], None]

HISTOGRAM_MODELS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
_TREES = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
_FLAGS = "nodes_missing_value_tracks_true"
# The losses whose raw prediction is the logarithm of the value.
_LOG_LOSSES = ("poisson", "gamma")
# The inverse of a target's transformation as a chain of operators, each with a constant as the second input or without.
_INVERSES: Mapping[Any, tuple[tuple[str, float | None], ...]] = {
    None: (),
    np.exp: (("Exp", None),),
    np.expm1: (("Exp", None), ("Sub", 1.0)),
    np.log: (("Log", None),),
    np.log1p: (("Add", 1.0), ("Log", None)),
    np.sqrt: (("Sqrt", None),),
    np.square: (("Pow", 2.0),),
    np.exp2: (("Mul", float(np.log(2))), ("Exp", None)),
}


class Nodes:
    """Wraps skl2onnx's container and changes the nodes that a converter adds.

    Attributes are changed by `change`; an output named `output` is renamed to `renamed`.
    """

    def __init__(
        self,
        container: Any,  # noqa: ANN401  # skl2onnx has no types
        change: Callable[[dict[str, Any]], None],
        output: str = "",
        renamed: str = "",
    ) -> None:
        self._container, self._change, self._output, self._renamed = container, change, output, renamed

    def add_node(self, op_type: str, inputs: Any, outputs: Any, *more: Any, **attributes: Any) -> None:  # noqa: ANN401
        """Add a changed node."""
        self._change(attributes)
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        names = [self._renamed if name == self._output else name for name in names]
        self._container.add_node(op_type, inputs, names, *more, **attributes)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._container, name)


def conversion_functions() -> dict[type, Converter]:
    """Return the corrected converters by estimator."""
    corrected: dict[type, Converter] = {kind: _histogram_converter(kind) for kind in HISTOGRAM_MODELS}
    corrected |= {kind: _tree_converter(kind) for kind in (*_FORESTS, *_TREES)}
    return corrected | {SimpleImputer: _convert_imputer}


def shape_calculators() -> dict[type, Callable[[Any], None]]:
    """Return the corrected calculators of output shapes by estimator."""
    return {SimpleImputer: _imputer_shape}


def register_additions() -> None:
    """Register converters for estimators that skl2onnx does not know."""
    update_registered_converter(
        TransformedTargetRegressor, "SlipwayTransformedTarget", _value_shape, _convert_transformed_target
    )
    update_registered_converter(
        MissingIndicator, "SlipwayMissingIndicator", _indicator_shape, _convert_indicator, overwrite=True
    )


def _original(kind: type) -> Converter:
    converter: Converter = get_converter(get_model_alias(kind))
    return converter


def _histogram_converter(kind: type) -> Converter:
    """Return a converter with integer flags, as onnx 1.21 and later requires, and with the loss' inverse link."""
    convert = _original(kind)

    def change(attributes: dict[str, Any]) -> None:
        if _FLAGS in attributes:
            attributes[_FLAGS] = [int(flag) for flag in attributes[_FLAGS]]

    def converter(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
        output = operator.outputs[0].full_name
        if getattr(operator.raw_operator, "loss", None) not in _LOG_LOSSES:
            convert(scope, operator, Nodes(container, change))
            return
        raw = scope.get_unique_variable_name("raw")
        convert(scope, operator, Nodes(container, change, output, raw))
        container.add_node("Exp", raw, output, name=scope.get_unique_operator_name("Exp"))

    return converter


def _tree_converter(kind: type) -> Converter:
    """Return a converter that sends missing values to the side that the tree learned; skl2onnx sends all right."""
    convert = _original(kind)

    def converter(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
        model = operator.raw_operator
        trees = [one.tree_.missing_go_to_left for one in getattr(model, "estimators_", [model])]

        def change(attributes: dict[str, Any]) -> None:
            if _FLAGS in attributes:
                places = zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True)
                attributes[_FLAGS] = [int(trees[tree][node]) for tree, node in places]

        convert(scope, operator, Nodes(container, change))

    return converter


def _flags_of(scope: Any, operator: Any, container: Any, features: Any) -> str:  # noqa: ANN401
    """Add nodes that return 1.0 where one of the features is NaN, and 0.0 elsewhere; return the output's name."""
    found = [scope.get_unique_variable_name(f"missing_{part}") for part in ("mask", "number", "index", "flags")]
    joined = concatenate_variables(scope, operator.inputs, container)
    container.add_node("IsNaN", joined, found[0], name=scope.get_unique_operator_name("IsNaN"))
    container.add_node("Cast", found[0], found[1], to=TensorProto.FLOAT, name=scope.get_unique_operator_name("Cast"))
    container.add_initializer(found[2], TensorProto.INT64, [len(features)], [int(one) for one in features])
    container.add_node("Gather", [found[1], found[2]], found[3], axis=1, name=scope.get_unique_operator_name("Gather"))
    return str(found[3])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    imputer, convert = operator.raw_operator, _original(SimpleImputer)
    if imputer.indicator_ is None:
        convert(scope, operator, container)
        return
    if isinstance(operator.inputs[0].type, StringTensorType) or not np.isnan(imputer.missing_values):
        raise NotImplementedError("add_indicator is supported only for numbers with missing_values=nan")
    output, imputed = operator.outputs[0].full_name, scope.get_unique_variable_name("imputed")
    convert(scope, operator, Nodes(container, lambda _attributes: None, output, imputed))
    flags = _flags_of(scope, operator, container, imputer.indicator_.features_)
    container.add_node("Concat", [imputed, flags], output, axis=1, name=scope.get_unique_operator_name("Concat"))


def _imputer_shape(operator: Any) -> None:  # noqa: ANN401
    get_shape_calculator(get_model_alias(SimpleImputer))(operator)
    indicator = operator.raw_operator.indicator_
    if indicator is not None:
        rows, width = operator.outputs[0].type.shape
        operator.outputs[0].type.shape = [rows, width + len(indicator.features_)]


def _convert_indicator(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    flags = _flags_of(scope, operator, container, operator.raw_operator.features_)
    output = operator.outputs[0].full_name
    container.add_node("Identity", flags, output, name=scope.get_unique_operator_name("Identity"))


def _indicator_shape(operator: Any) -> None:  # noqa: ANN401
    operator.outputs[0].type = FloatTensorType([None, len(operator.raw_operator.features_)])


def _value_shape(operator: Any) -> None:  # noqa: ANN401
    operator.outputs[0].type = FloatTensorType([None, 1])


def _convert_transformed_target(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401
    """Convert the inner regressor, followed by the inverse of the target's transformation."""
    model = operator.raw_operator
    inner = scope.declare_local_operator(get_model_alias(type(model.regressor_)), model.regressor_)
    inner.inputs = operator.inputs
    value = scope.declare_local_variable("transformed", FloatTensorType([None, 1]))
    inner.outputs.append(value)
    name = value.full_name
    for kind, constant in _inverse_of(model.transformer_):
        inputs, output = [name], scope.get_unique_variable_name("inverse")
        if constant is not None:
            inputs.append(scope.get_unique_variable_name("constant"))
            container.add_initializer(inputs[1], TensorProto.FLOAT, [1], [constant])
        container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind))
        name = output
    # A regressor may return one value per row without an axis.
    shape = scope.get_unique_variable_name("shape")
    container.add_initializer(shape, TensorProto.INT64, [2], [-1, 1])
    output = operator.outputs[0].full_name
    container.add_node("Reshape", [name, shape], output, name=scope.get_unique_operator_name("Reshape"))


def _inverse_of(transformer: Any) -> Iterator[tuple[str, float | None]]:  # noqa: ANN401
    if isinstance(transformer, StandardScaler):
        if transformer.with_std:
            yield "Mul", float(transformer.scale_[0])
        if transformer.with_mean:
            yield "Add", float(transformer.mean_[0])
    elif isinstance(transformer, MinMaxScaler) and not transformer.clip:
        yield "Sub", float(transformer.min_[0])
        yield "Div", float(transformer.scale_[0])
    elif isinstance(transformer, FunctionTransformer) and transformer.inverse_func in _INVERSES:
        yield from _INVERSES[transformer.inverse_func]
    else:
        names = ", ".join(f"np.{kind.__name__}" for kind in _INVERSES if kind is not None)
        raise NotImplementedError(
            f"the target's transformer must be StandardScaler or MinMaxScaler, or its inverse_func one of {names}"
        )
