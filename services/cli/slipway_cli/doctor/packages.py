"""Check that the packages of each service are installed."""

import importlib.util
from collections.abc import Iterator

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning

# The modules that each service requires, by extra.
MODULES = {
    "api": (
        "slipway_api",
        "fastapi",
        "uvicorn",
        "onnxruntime",
        "numpy",
        "jose",
        "passlib",
        "argon2",
        "prometheus_client",
        "psycopg2",
    ),
    "trainer": (
        "slipway_trainer",
        "mlflow",
        "sklearn",
        "skl2onnx",
        "onnx",
        "onnxruntime",
        "pandas",
        "pandera",
        "matplotlib",
        "boto3",
    ),
}


def check_extras(context: DoctorContext) -> Iterator[Finding]:
    """Find services with missing packages. `slipway up` needs all; a machine with remote servers may not."""
    for extra, modules in MODULES.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if not missing:
            yield ok(extra, f"slipway[{extra}] is installed")
            continue
        make = broken if context.is_embedded else warning
        yield make(
            extra,
            f"slipway[{extra}] is not fully installed: {', '.join(missing)} cannot be imported",
            f"run `pip install 'slipway[{extra}]'`" + ("" if context.is_embedded else " if this machine needs it"),
        )
