"""Register models that Slipway did not train: load, convert to ONNX, compare, score and describe them."""
