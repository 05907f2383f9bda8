"""Check whether the API can serve versions that Slipway's trainer did not register."""

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_cli.doctor.findings import Finding, broken, ok
from slipway_core.bundle import MANIFEST_TAG, MLMODEL_FILE
from slipway_core.errors import BundleError, RegistryError
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.register_command import register_command

SETTING = "SLIPWAY_ALLOW_UNVERIFIED_MODELS"
GENERIC_FLAVOR = "python_function"
MLMODEL_MAX_BYTES = 1_000_000


def check_foreign_model(
    registry: Registry, version: ModelVersion, check: str, another: str, *, allows_unverified: bool
) -> Finding:
    """Check the Production version of a model without a digest.

    Args:
        registry: the registry with its files.
        version: the version.
        check: the finding's name.
        another: how to choose another version.
        allows_unverified: whether the API's settings allow such models.
    """
    what = f"version {version.version}, Production,"
    flavors = _flavors(registry, version)
    if flavors is None:
        return broken(
            check,
            f"{what} has no SHA-256 in its tag {MANIFEST_TAG}, so the API does not load it",
            f"{another}, or train one with `slipway train RECIPE`",
        )
    if "onnx" not in flavors:
        names = ", ".join(f"mlflow.{name}" for name in sorted(flavors) if name != GENERIC_FLAVOR) or "mlflow.pyfunc"
        command = register_command(version.name, version.version, trust=True)
        return broken(
            check,
            f"{what} was logged with {names}, but the API serves ONNX models",
            f"convert it with `{command}`, or {another}",
        )
    if problem := _graph_problem(registry, version):
        return broken(check, f"{what} {problem}", f"log a corrected graph, or {another}")
    if allows_unverified:
        return ok(check, f"Production is version {version.version}, unverified: {SETTING} allows it")
    command = register_command(version.name, version.version, trust=False)
    return broken(
        check,
        f"{what} was not registered by Slipway's trainer, so the API does not load it",
        f"convert it to a verified bundle with `{command}`, set {SETTING}=true for the API to serve it without "
        f"verification, or {another}",
    )


def _flavors(registry: Registry, version: ModelVersion) -> Mapping[str, Any] | None:
    """Return the flavors of the version's MLmodel file; None if it cannot be read."""
    content = _fetched(registry, version, MLMODEL_FILE)
    if content is None or len(content) > MLMODEL_MAX_BYTES:
        return None
    import yaml  # noqa: PLC0415  # few registries need it

    try:
        flavors = yaml.safe_load(content)["flavors"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return None
    return flavors if isinstance(flavors, dict) else None


def _graph_problem(registry: Registry, version: ModelVersion) -> str | None:
    """Return why the API cannot load the graph; None if it can, or if no graph can be loaded here."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    # The runtime would slow down every command.
    from slipway_core.graph import ports  # noqa: PLC0415
    from slipway_core.onnx_zipmap import without_zipmap  # noqa: PLC0415

    content = _fetched(registry, version, MODEL_FILE)
    if content is None:
        return f"has no file {MODEL_FILE}"
    try:
        ports(without_zipmap(content).model)
    except BundleError as error:
        return f"has a graph that the API does not serve: {error}"
    return None


def _fetched(registry: Registry, version: ModelVersion, file: str) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        try:
            registry.fetch(version, file, path)
        except RegistryError:
            return None
        return path.read_bytes()
