"""Bundles on the local disk: what is served can be served again without a registry.

A folder a model; in it a folder a bundle, named by version and digest, and a note for each thing that is served:
`production.json` for what the alias led to last, `pinned-7.json` for a version that the settings name. Several
processes may share it: everything appears whole by a rename from a name of its own, and goes by one.
"""

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import onnxruntime
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from slipway_api.serving.model_ref import ModelRef
from slipway_core.bundle import Digest

LAST_SERVED_FILE = "production.json"
KEPT_BUNDLES = 3
# A younger bundle may be one that another process is about to serve.
PRUNED_AFTER_SECONDS = 600.0
# Longer than any fetch: what is older was left by a process that was killed.
PARTIAL_SECONDS = 2 * 3600.0
PARTIAL_PREFIX = ".partial-"
PIN_PREFIX = "pinned-"
TRIAL_FILE = "tried.txt"
REGISTERED_FILE = "registered.json"
REGISTERED = TypeAdapter(dict[str, float])
BUNDLE_NAME = re.compile(r"[0-9]+-[0-9a-f]{16}")


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
        _replace(note, served.model_dump_json())
        with contextlib.suppress(OSError):
            os.utime(self.folder(served.name, served.version, served.manifest_sha256))

    def is_tried(self, folder: Path, manifest_sha256: str) -> bool:
        """Return whether a process has tried this bundle with this version of ONNX Runtime, and could open it."""
        try:
            return (folder / TRIAL_FILE).read_text(encoding="utf-8") == _trial_note(manifest_sha256)
        except (OSError, ValueError):
            return False

    def note_trial(self, folder: Path, manifest_sha256: str) -> None:
        """Note that a bundle was tried and can be opened. Without the note it is tried again."""
        with contextlib.suppress(OSError):
            _replace(folder / TRIAL_FILE, _trial_note(manifest_sha256))

    def sweep(self) -> None:
        """Remove what deleted models and interrupted downloads left in any model's folder.

        A bundle that no note names stays while it is young: another process may be about to serve it.
        """
        with contextlib.suppress(OSError):
            for folder in [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]:
                self._sweep_folder(folder)

    def _sweep_folder(self, folder: Path) -> None:
        remove_old(folder, PARTIAL_PREFIX)
        notes = {path: _read(path) for path in folder.glob("*.json")}
        for path in [path for path, note in notes.items() if note is None and _age(path) > PRUNED_AFTER_SECONDS]:
            with contextlib.suppress(OSError):
                path.unlink()
        if not any(notes.values()):
            for path in folder.iterdir():
                if BUNDLE_NAME.fullmatch(path.name) and _age(path) > PRUNED_AFTER_SECONDS:
                    self.remove(path)
        with contextlib.suppress(OSError):
            folder.rmdir()  # it fails unless the folder is empty

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
                if path.is_dir() and not path.name.startswith(PARTIAL_PREFIX):
                    bundles.append(path)
        remove_old(folder, PARTIAL_PREFIX)
        for path in sorted(bundles, key=ages.__getitem__)[KEPT_BUNDLES:]:
            if path not in needed and ages[path] > PRUNED_AFTER_SECONDS:
                self.remove(path)

    def forget(self, ref: ModelRef) -> None:
        """Note that nothing is served under a reference any more."""
        with contextlib.suppress(OSError):
            self._note(ref).unlink()

    def forget_model(self, name: str) -> None:
        """Note that a model does not exist any more: none of its versions is served again."""
        for note in self._model_folder(name).glob("*.json"):
            with contextlib.suppress(OSError):
                note.unlink()

    def last_served(self, ref: ModelRef) -> LastServed | None:
        """Return what was served under a reference last; None if that is not known."""
        return _read(self._note(ref))

    def names(self, *, pinned: bool = False) -> list[str]:
        """Return the models of which something was served by the alias, or also as a pinned version."""
        notes = [_read(path) for path in sorted(self._root.glob("*/*.json" if pinned else f"*/{LAST_SERVED_FILE}"))]
        return [note.name for note in notes if note is not None]

    def registered(self) -> dict[str, float]:
        """Return the models that the registry last held, with the time when each was made; empty if unknown."""
        try:
            return REGISTERED.validate_json((self._root / REGISTERED_FILE).read_bytes())
        except (OSError, ValidationError):
            return {}

    def remember_registered(self, models: Mapping[str, float]) -> None:
        """Keep which models the registry holds: a later process then recognises it."""
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            _replace(self._root / REGISTERED_FILE, json.dumps(models))

    def _note(self, ref: ModelRef) -> Path:
        file = LAST_SERVED_FILE if ref.version is None else f"{PIN_PREFIX}{ref.version}.json"
        return self._model_folder(ref.name) / file

    def _model_folder(self, name: str) -> Path:
        # A registered model's name is anybody's text: no separator and no leading dot may reach the file system.
        return self._root / quote(name, safe=" ").replace(".", "%2E")


def _replace(path: Path, text: str) -> None:
    """Write a file all at once."""
    handle, partial = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _read(note: Path) -> LastServed | None:
    try:
        return LastServed.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def remove_old(folder: Path, prefix: str) -> None:
    """Remove what killed processes of this user left in a folder under a prefix: what is older than any download."""
    for path in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            status = path.lstat()
            if time.time() - status.st_mtime > PARTIAL_SECONDS and status.st_uid == os.getuid():
                if stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _trial_note(manifest_sha256: str) -> str:
    # Another ONNX Runtime may fail where this one does not.
    return f"{manifest_sha256} onnxruntime {onnxruntime.__version__}\n"
