"""Bundles on the local disk: what is served can be served again without a registry.

A folder a model; in it a folder a bundle, named by version and digest, and `production.json`, which tells what was
served last. A bundle's folder appears by a rename once it is complete.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway_core.bundle import Digest

LAST_SERVED_FILE = "production.json"
KEPT_BUNDLES = 3


class LastServed(BaseModel):
    """What a model's `production.json` tells."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    manifest_sha256: Digest
    run_id: str
    description: str


class BundleCache:
    """The cache's folder. Any file in it may be damaged or gone: bundles are verified whenever they are read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, version: str, manifest_sha256: str) -> Path:
        """Return where a bundle is kept, or would be."""
        return self._model_folder(name) / f"{version}-{manifest_sha256.removeprefix('sha256:')[:16]}"

    @contextmanager
    def adding(self, folder: Path) -> Iterator[Path]:
        """Yield an empty folder to fill; it becomes `folder` if the block ends without an error.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            yield partial
            self.remove(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove(self, folder: Path) -> None:
        """Remove a bundle that turned out to be damaged."""
        shutil.rmtree(folder, ignore_errors=True)

    def remember(self, served: LastServed) -> None:
        """Note what is served of a model, and remove the bundles that were served long ago.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        folder = self._model_folder(served.name)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{LAST_SERVED_FILE}"
        partial.write_text(served.model_dump_json(), encoding="utf-8")
        partial.replace(folder / LAST_SERVED_FILE)
        kept = self.folder(served.name, served.version, served.manifest_sha256)
        if kept.is_dir():
            kept.touch()
        bundles = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        bundles.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in bundles[KEPT_BUNDLES:]:
            self.remove(path)

    def forget(self, name: str) -> None:
        """Note that nothing is served of a model any more."""
        with contextlib.suppress(OSError):
            (self._model_folder(name) / LAST_SERVED_FILE).unlink()

    def last_served(self, name: str) -> LastServed | None:
        """Return what was served of a model last; None if that is not known."""
        try:
            content = (self._model_folder(name) / LAST_SERVED_FILE).read_bytes()
            return LastServed.model_validate_json(content)
        except (OSError, ValidationError):
            return None

    def names(self) -> list[str]:
        """Return the models of which something was served."""
        found = []
        for path in sorted(self._root.glob(f"*/{LAST_SERVED_FILE}")):
            try:
                found.append(LastServed.model_validate_json(path.read_bytes()).name)
            except (OSError, ValidationError):
                continue
        return found

    def _model_folder(self, name: str) -> Path:
        # A registered model's name is anybody's text: no separator and no leading dot may reach the file system.
        return self._root / quote(name, safe=" ").replace(".", "%2E")
