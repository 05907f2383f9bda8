"""A process that repeatedly loads one version from a cache that other processes use and damage at the same time."""

import sys
from pathlib import Path

from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import MANIFEST_FILE, digest
from slipway_core.manifest import GOLDEN_FILE
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register
from support.serving import no_trial


def main(root: Path, rounds: int) -> None:
    """Load, note and damage version 1 of iris repeatedly; fail if it cannot be served once."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    [version] = registry.list_versions("iris")
    for number in range(rounds):
        cache = BundleCache(root)
        loader = Loader(registry, cache, trial=no_trial)
        model = loader.load(version)
        loader.remember(ModelRef("iris", "1" if number % 2 == 0 else None), model, ["1"])
        folder = cache.folder("iris", "1", digest(bundle_files()[MANIFEST_FILE]))
        if number % 3 == 0:
            cache.remove(folder)
        elif folder.is_dir():
            (folder / GOLDEN_FILE).unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
