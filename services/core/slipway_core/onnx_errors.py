"""Explain why ONNX Runtime does not load a graph, without the paths and names in its own messages."""

import re

# The messages of ONNX Runtime 1.31, each with what it means. Names from the graph are limited in form and length.
_NAME = r"[A-Za-z0-9_.:]{1,100}"
_REASONS = (
    (
        re.compile(rf"Could not find an implementation for ({_NAME})\((\d+)\)"),
        "ONNX Runtime has no implementation of its operator {0} for the types of its tensors: export it as float32",
    ),
    (
        re.compile(rf"No Op registered for ({_NAME}) with domain_version of (\d+)"),
        "ONNX Runtime has no operator {0} in opset {1}: export it with the standard operators of ONNX",
    ),
    (
        re.compile(rf"({_NAME})\(-?\d+\) is not a registered function/op"),
        "ONNX Runtime has no operator {0}: export it with the standard operators of ONNX",
    ),
    (
        re.compile(rf"official support for domain ({_NAME}) is till opset (\d+)"),
        "its opset of {0} is newer than {1}, the newest that ONNX Runtime supports: export it with target_opset={1}",
    ),
    (
        re.compile(r"Unsupported model IR version: \d+, max supported IR version: (\d+)"),
        "its IR version is newer than {0}, the newest that ONNX Runtime supports: export it with an older onnx",
    ),
    (
        re.compile(
            rf"Type \(({_NAME}\({_NAME}\))\) of output arg .{{0,200}}? does not match expected type "
            rf"\(({_NAME}\({_NAME}\))\)"
        ),
        "it states the type {0} for the output of an operator that returns {1}: export it as float32",
    ),
    (
        re.compile(
            rf"of Optype \(({_NAME})\) bound to different types \(({_NAME}\({_NAME}\)) and ({_NAME}\({_NAME}\)) in node"
        ),
        "its operator {0} has inputs of the types {1} and {2}: export it as float32",
    ),
    (
        re.compile(rf"Type '({_NAME}\({_NAME}\))' of input parameter .{{0,200}}? of operator \(({_NAME})\)"),
        "its operator {1} does not take an input of the type {0}; export it again",
    ),
)
_OTHER = "it is not a valid ONNX model; export it again"


def why_not_loaded(error: Exception) -> str:
    """Return the reason for an exception of ONNX Runtime, as the end of a sentence."""
    text = str(error)
    for pattern, reason in _REASONS:
        if match := pattern.search(text):
            return reason.format(*match.groups())
    return _OTHER
