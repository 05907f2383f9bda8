"""Bundles on the local disk: what is served can be served again without a registry.

A folder a model; in it a folder a bundle, named by version and digest, and a note for each thing that is served:
`production.json` for what the alias led to last, `pinned-7.json` for a version that the settings name. Several
processes may share it: everything appears whole by a rename from a name of its own, and goes by one.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import Digest

LAST_SERVED_FILE = "production.json"
KEPT_BUNDLES = 3
# A younger bundle may be one that another process is about to serve.
PRUNED_AFTER_SECONDS = 600.0
# Longer than any fetch: what is older was left by a process that was killed.
PARTIAL_SECONDS = 24 * 3600.0
PARTIAL_PREFIX = ".partial-"
PIN_PREFIX = "pinned-"


class LastServed(BaseModel):
    """What a note tells of the version that was served."""

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

    def holds(self, folder: Path) -> bool:
        """Tell whether a bundle is there, whole or damaged, and keep it from being removed as an old one."""
        try:
            os.utime(folder)
        except OSError:  # a cache that cannot be written can still be read
            with contextlib.suppress(OSError):
                return folder.is_dir()
            return False
        return True

    @contextmanager
    def adding(self, folder: Path) -> Iterator[Path]:
        """Yield an empty folder to fill; it becomes `folder` if the block ends without an error.

        What another process has put there meanwhile stays: it is the same bundle, and was checked, too.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
        try:
            yield partial
            try:
                partial.rename(folder)
            except OSError:  # a folder takes no other's place
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove(self, folder: Path) -> None:
        """Remove a bundle, all at once to whoever looks: one that is damaged, or old."""
        try:
            grave = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
        except OSError:  # neither can it be removed then
            return
        with contextlib.suppress(OSError):
            folder.rename(grave / folder.name)
        shutil.rmtree(grave, ignore_errors=True)

    def remember(self, served: LastServed, *, pinned: bool = False) -> None:
        """Note what is served of a model.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        note = self._note(ModelRef(served.name, served.version if pinned else None))
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=note.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(served.model_dump_json())
            Path(partial).replace(note)
        finally:
            Path(partial).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.utime(self.folder(served.name, served.version, served.manifest_sha256))

    def prune(self, name: str, pins: Collection[str] = ()) -> None:
        """Remove what a model's folder no longer needs.

        The bundles that a note names stay, and the last few that were served, and the young ones.

        Args:
            name: the model.
            pins: the versions that are pinned; the notes of others are removed.
        """
        folder, now = self._model_folder(name), time.time()
        for note in folder.glob(f"{PIN_PREFIX}*.json"):
            if note.name not in {f"{PIN_PREFIX}{version}.json" for version in pins}:
                with contextlib.suppress(OSError):
                    note.unlink()
        served = [found for path in folder.glob("*.json") if (found := _read(path)) is not None]
        needed = {self.folder(name, found.version, found.manifest_sha256) for found in served}
        bundles, ages = [], {}
        for path in folder.glob("*"):
            with contextlib.suppress(OSError):  # another process may remove it at the same time
                ages[path] = now - path.stat().st_mtime
                if path.name.startswith(PARTIAL_PREFIX):
                    if ages[path] > PARTIAL_SECONDS:
                        _remove_leftover(path)
                elif path.is_dir():
                    bundles.append(path)
        for path in sorted(bundles, key=ages.__getitem__)[KEPT_BUNDLES:]:
            if path not in needed and ages[path] > PRUNED_AFTER_SECONDS:
                self.remove(path)

    def forget(self, ref: ModelRef) -> None:
        """Note that nothing is served under a reference any more."""
        with contextlib.suppress(OSError):
            self._note(ref).unlink()

    def last_served(self, ref: ModelRef) -> LastServed | None:
        """Return what was served under a reference last; None if that is not known."""
        return _read(self._note(ref))

    def names(self) -> list[str]:
        """Return the models of which something was served by the alias."""
        notes = [_read(path) for path in sorted(self._root.glob(f"*/{LAST_SERVED_FILE}"))]
        return [note.name for note in notes if note is not None]

    def _note(self, ref: ModelRef) -> Path:
        file = LAST_SERVED_FILE if ref.version is None else f"{PIN_PREFIX}{ref.version}.json"
        return self._model_folder(ref.name) / file

    def _model_folder(self, name: str) -> Path:
        # A registered model's name is anybody's text: no separator and no leading dot may reach the file system.
        return self._root / quote(name, safe=" ").replace(".", "%2E")


def _read(note: Path) -> LastServed | None:
    try:
        return LastServed.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def _remove_leftover(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
