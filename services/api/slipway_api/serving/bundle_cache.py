"""Cache bundles on the local disk, so that models can be served without the registry.

Each model has a folder with a folder per bundle, named by version and digest, and a note per served reference:
`production.json` for the last Production version, `alias-Staging.json` for that of another alias, `pinned-7.json` for a
pinned version. Several processes may share the cache: files and folders are created under a temporary name and then
renamed, and renamed before removal.
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
from urllib.parse import quote, unquote

import onnxruntime
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from slipway_api.serving.model_ref import ModelRef
from slipway_core.atomic_file import OWNER_ONLY, PART_PREFIX, atomic_file
from slipway_core.manifest import Digest

LAST_SERVED_FILE = "production.json"
KEPT_BUNDLES = 3
# Keep younger bundles: another process may be about to serve one.
PRUNED_AFTER_SECONDS = 600.0
# Longer than any download: older temporary files belong to killed processes.
PARTIAL_SECONDS = 2 * 3600.0
PIN_PREFIX = "pinned-"
ALIAS_PREFIX = "alias-"
TRIAL_FILE = "tried.txt"
REGISTERED_FILE = "registered.json"
# The serial of the newest signed event that was followed. Without a suffix, so that no cleanup takes it for a note.
SERIAL_FILE = "newest-event"
MAX_DIGITS = 18
REGISTERED = TypeAdapter(dict[str, float])
BUNDLE_NAME = re.compile(r"[0-9]+-[0-9a-f]{16}")


class LastServed(BaseModel):
    """The content of a note: the version that was served last."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    manifest_sha256: Digest
    run_id: str
    description: str
    # The version's tag with its signature, which is verified again at each start.
    signature: str | None = None


class BundleCache:
    """The cache's folder. Files may be damaged or missing at any time: bundles are verified at each read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, version: str, manifest_sha256: str) -> Path:
        """Return the folder of a bundle, whether it exists or not."""
        return self._model_folder(name) / f"{version}-{manifest_sha256.removeprefix('sha256:')[:16]}"

    def holds(self, folder: Path) -> bool:
        """Return whether a bundle exists, intact or not, and renew its age so that it is not removed."""
        try:
            os.utime(folder)
        except OSError:  # a read-only cache can still be read
            with contextlib.suppress(OSError):
                return folder.is_dir()
            return False
        return True

    @contextmanager
    def adding(self, folder: Path) -> Iterator[Path]:
        """Yield an empty folder to fill, and rename it to `folder` if the block succeeds.

        If another process added the bundle meanwhile, its verified copy is kept.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=folder.parent))
        try:
            yield partial
            try:
                partial.rename(folder)
            except OSError:  # a rename does not replace a folder with content
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove(self, folder: Path) -> None:
        """Remove a bundle atomically."""
        try:
            grave = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=folder.parent))
        except OSError:  # a bundle that cannot be renamed cannot be removed either
            return
        with contextlib.suppress(OSError):
            folder.rename(grave / folder.name)
        shutil.rmtree(grave, ignore_errors=True)

    def remember(self, ref: ModelRef, served: LastServed) -> None:
        """Store which version is served for a reference.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        _replace(self._note(ref), served.model_dump_json())
        with contextlib.suppress(OSError):
            os.utime(self.folder(served.name, served.version, served.manifest_sha256))

    def is_tried(self, folder: Path, manifest_sha256: str) -> bool:
        """Return whether any process has opened this bundle successfully with this version of ONNX Runtime."""
        try:
            return (folder / TRIAL_FILE).read_text(encoding="utf-8") == _trial_note(manifest_sha256)
        except (OSError, ValueError):
            return False

    def note_trial(self, folder: Path, manifest_sha256: str) -> None:
        """Record that a bundle opened successfully, so that it is not tried again."""
        with contextlib.suppress(OSError):
            if folder.is_dir():  # another process may have removed it
                _replace(folder / TRIAL_FILE, _trial_note(manifest_sha256))

    def sweep(self) -> None:
        """Remove the remains of deleted models and interrupted downloads.

        A young bundle without a note is kept: another process may be about to serve it.
        """
        with contextlib.suppress(OSError):
            for folder in [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]:
                self._sweep_folder(folder)

    def _sweep_folder(self, folder: Path) -> None:
        remove_old(folder, PART_PREFIX)
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
        """Remove the files of a model that are no longer needed.

        Bundles with a note, the most recently served bundles and young bundles are kept.

        Args:
            name: the model.
            pins: the pinned versions; the notes of other versions are removed.
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
                if path.is_dir() and not path.name.startswith(PART_PREFIX):
                    bundles.append(path)
        remove_old(folder, PART_PREFIX)
        for path in sorted(bundles, key=ages.__getitem__)[KEPT_BUNDLES:]:
            if path not in needed and ages[path] > PRUNED_AFTER_SECONDS:
                self.remove(path)

    def forget(self, ref: ModelRef) -> None:
        """Remove the note of an unloaded reference."""
        with contextlib.suppress(OSError):
            self._note(ref).unlink()

    def forget_model(self, name: str) -> None:
        """Remove the notes of a deleted model, so that none of its versions is served again."""
        for note in self._model_folder(name).glob("*.json"):
            with contextlib.suppress(OSError):
                note.unlink()

    def last_served(self, ref: ModelRef) -> LastServed | None:
        """Return the version that was last served for a reference; None if unknown."""
        return _read(self._note(ref))

    def refs(self) -> list[ModelRef]:
        """Return the references with a note."""
        notes = [(path, _read(path)) for path in sorted(self._root.glob("*/*.json"))]
        return [_ref(path, note) for path, note in notes if note is not None]

    def registered(self) -> dict[str, float]:
        """Return the models of the last accepted registry list with their creation times; empty if unknown."""
        try:
            return REGISTERED.validate_json((self._root / REGISTERED_FILE).read_bytes())
        except (OSError, ValidationError):
            return {}

    def remember_registered(self, models: Mapping[str, float]) -> None:
        """Store the registry's models, so that a later process recognizes the registry."""
        with contextlib.suppress(OSError):
            _replace(self._root / REGISTERED_FILE, json.dumps(models))

    def newest_serial(self, name: str) -> int:
        """Return the serial of the newest signed event of a model that any process followed; 0 if unknown."""
        try:
            text = (self._model_folder(name) / SERIAL_FILE).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return 0
        return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0

    def remember_serial(self, name: str, serial: int) -> None:
        """Store the serial of the newest signed event of a model, unless a higher one is stored."""
        with contextlib.suppress(OSError):
            if serial > self.newest_serial(name):
                _replace(self._model_folder(name) / SERIAL_FILE, str(serial))

    def _note(self, ref: ModelRef) -> Path:
        if ref.is_production:
            file = LAST_SERVED_FILE
        else:
            file = f"{PIN_PREFIX}{ref.version}.json" if ref.is_pinned else f"{ALIAS_PREFIX}{_quoted(ref.alias)}.json"
        return self._model_folder(ref.name) / file

    def _model_folder(self, name: str) -> Path:
        return self._root / _quoted(name)


def _quoted(name: str) -> str:
    # Any client of the registry chooses names and aliases: keep separators and leading dots out of the path.
    return quote(name, safe=" ").replace(".", "%2E")


def _ref(note: Path, served: LastServed) -> ModelRef:
    """Return the reference of a note."""
    if note.stem.startswith(ALIAS_PREFIX):
        return ModelRef(served.name, alias=unquote(note.stem.removeprefix(ALIAS_PREFIX)))
    return ModelRef(served.name, served.version if note.stem.startswith(PIN_PREFIX) else None)


def _replace(path: Path, text: str) -> None:
    with atomic_file(path, mode=OWNER_ONLY) as out:
        out.write(text.encode())


def _read(note: Path) -> LastServed | None:
    try:
        return LastServed.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def remove_old(folder: Path, prefix: str) -> None:
    """Remove this user's entries with a prefix from a folder, if they are older than any download."""
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
    # Another release of ONNX Runtime may fail to open the bundle.
    return f"{manifest_sha256} onnxruntime {onnxruntime.__version__}\n"
