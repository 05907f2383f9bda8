"""Decide from an ONNX model's operators whether the time and memory of a run depend only on its number of rows.

Other graphs may be fast for the measured rows and take hours for another value: the number of iterations of a `Loop`
and the size of a `ConstantOfShape` output may depend on a value.
"""

from typing import Any

from slipway_core.onnx_model import walk
from slipway_core.onnx_trace import attribute, input_of

# The shapes of the inputs determine the time and the output's shape of these operators.
_STANDARD = frozenset(
    b"""
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Concat Constant Conv Cos Cosh Div Dropout Einsum Elu
    Equal Erf Exp Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu
    Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul
    Neg Not Or PRelu Pow Reciprocal Relu Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
    Softmax Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Transpose Where Xor
    """.split()
)
_MACHINE_LEARNING = frozenset(
    b"""
    ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder LinearClassifier
    LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier
    TreeEnsembleRegressor ZipMap
    """.split()
)
# The same is true of these if their inputs from this index on are constants.
_WITH_CONSTANTS = {
    **dict.fromkeys(b"CumSum OneHot Pad Slice Squeeze Tile TopK Unsqueeze".split(), 1),
    **dict.fromkeys(
        b"""ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare""".split(),
        1,
    ),
    b"Range": 0,
}
# The same is true of these if their inputs from this index on are constants or lengths.
_WITH_LENGTHS = {b"ConstantOfShape": 0, b"Expand": 1, b"Reshape": 1}
# They select lengths. Arithmetic on lengths could produce a huge size for one particular number of rows.
_SELECTING = frozenset(b"Cast Concat Gather Identity Slice Squeeze Unsqueeze".split())
_INT64 = 7
# The time for a text depends on its length, which may differ from value to value.
_MAX_TEXT_BYTES = 256


def cost_follows_rows(model: Any) -> bool:  # noqa: ANN401  # classes made at run time
    """Return whether the time and memory of a run depend only on the number of rows, not on their values.

    False for a graph with a local function, a subgraph, an operator of another domain or a long text.

    Args:
        model: as `parse_model` returns it.
    """
    if model.functions or any(_has_value_cost(kind, message) for kind, message in walk("Graph", model.graph)):
        return False
    made = {name for node in model.graph.node if node.op_type != b"Constant" for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {name for node in model.graph.node if node.op_type == b"Constant" for name in node.output}
    constants = (constants - made) | {b""}  # an empty name is an omitted optional input
    lengths = set(constants)
    for node in model.graph.node:
        if not _is_allowed(node, constants, lengths):
            return False
        if node.op_type == b"Shape" or _selects_lengths(node, constants, lengths):
            lengths.update(node.output)
    return True


def _has_value_cost(kind: str, message: Any) -> bool:  # noqa: ANN401
    if kind == "Attribute":
        return (
            message.HasField("g")
            or len(message.graphs) > 0
            or len(message.s) > _MAX_TEXT_BYTES
            or any(len(text) > _MAX_TEXT_BYTES for text in message.strings)
        )
    return kind == "Tensor" and any(len(text) > _MAX_TEXT_BYTES for text in message.string_data)


def _is_allowed(node: Any, constants: set[bytes], lengths: set[bytes]) -> bool:  # noqa: ANN401
    operator = node.op_type
    if node.domain == b"ai.onnx.ml":
        return operator in _MACHINE_LEARNING
    if node.domain not in {b"", b"ai.onnx"}:
        return False
    if operator in _WITH_CONSTANTS:
        return constants.issuperset(node.input[_WITH_CONSTANTS[operator] :])
    if operator in _WITH_LENGTHS:
        return lengths.issuperset(node.input[_WITH_LENGTHS[operator] :])
    return operator in _STANDARD


def _selects_lengths(node: Any, constants: set[bytes], lengths: set[bytes]) -> bool:  # noqa: ANN401
    if node.op_type not in _SELECTING or not lengths.issuperset(node.input):
        return False
    if node.op_type == b"Cast":  # a narrower type would overflow
        return attribute(node, b"to", 0) == _INT64
    # The other operators could select from a table of arbitrary sizes.
    return node.op_type == b"Concat" or constants.issuperset(node.input[1:]) or not input_of(node, 1)
