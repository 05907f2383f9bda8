"""Download a version's bundle."""

import tempfile
from pathlib import Path

from slipway_core.bundle import MANIFEST_FILE, Bundle, read_bundle
from slipway_core.manifest import SERVED_FILES
from slipway_core.registry.base import ModelVersion, Registry


def fetch_bundle(registry: Registry, version: ModelVersion, manifest_sha256: str) -> Bundle:
    """Download the files that serving a version requires, and check every digest.

    Raises:
        RegistryError: the registry failed, or a file is missing.
        BundleError: a file is damaged or invalid.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as folder:
        for name in (MANIFEST_FILE, *SERVED_FILES):
            registry.fetch(version, name, Path(folder) / name)
        return read_bundle(Path(folder), manifest_sha256)
