"""The machine: folders, disk space, and a clock that cannot be right."""

import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning

MIB = 1024 * 1024
BROKEN_BELOW_BYTES = 512 * MIB
WARNING_BELOW_BYTES = 2048 * MIB

# This code was written after it, so no clock that is right shows less.
WRITTEN = datetime(2026, 11, 1, tzinfo=UTC)


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that a folder lies on, in bytes."""
    return shutil.disk_usage(folder).free


def check_folders(context: DoctorContext, free: Callable[[Path], int] = free_bytes) -> Iterator[Finding]:
    """Check that each folder is writable and has free space.

    Args:
        context: what is examined.
        free: returns the free bytes of the disk that a folder lies on.
    """
    for (name, variable), folder in _folders(context).items():
        there = nearest(folder)
        if why := why_not_writable(there):
            yield broken(
                name,
                f"{folder} cannot be written ({why})",
                f"give {there} to this account with `sudo chown $(id -un) {shlex.quote(str(there))}`, or name another "
                f"folder with {variable}",
            )
            continue
        yield _room(name, variable, folder, free(there))


def check_clock(_context: DoctorContext, now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Find a clock that is certainly wrong; how far it is from a server's is looked at with the server.

    Args:
        now: returns the time in seconds since the epoch.
    """
    here = datetime.fromtimestamp(now(), UTC)
    if here < WRITTEN:
        yield broken(
            "clock",
            f"this machine's clock says {here:%Y-%m-%d}, which is before this release was written",
            "set it by network time: `sudo timedatectl set-ntp true`",
        )
    else:
        yield ok("clock", f"{here:%Y-%m-%d %H:%M:%S} UTC")


def _folders(context: DoctorContext) -> Mapping[tuple[str, str], Path]:
    """Return the folders by name and by the variable that names them."""
    folders = {("home folder", "--home or SLIPWAY_HOME"): context.home.root}
    if not context.is_embedded:
        folders["cache folder", "SLIPWAY_CACHE_DIR"] = context.settings.cache_dir.expanduser().absolute()
    try:
        folders["temporary folder", "TMPDIR"] = Path(tempfile.gettempdir())
    except FileNotFoundError:  # none of the usual ones can be written
        folders["temporary folder", "TMPDIR"] = Path("/tmp")  # noqa: S108  # named to be told, not used
    return folders


def nearest(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def why_not_writable(folder: Path) -> str:
    """Return why a file cannot be made in a folder; empty if one can. Permissions alone do not tell."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _room(name: str, variable: str, folder: Path, free: int) -> Finding:
    what = f"{folder} can be written, {_size(free)} are free"
    mend = f"make room on its disk, or name a folder on another with {variable}"
    if free < BROKEN_BELOW_BYTES:
        return broken(name, f"{_size(free)} are free at {folder}; {_size(BROKEN_BELOW_BYTES)} are needed", mend)
    if free < WARNING_BELOW_BYTES:
        return warning(name, f"only {_size(free)} are free at {folder}: training and logs may fill it", mend)
    return ok(name, what)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1024 * MIB):.1f} GiB" if size_bytes >= 1024 * MIB else f"{size_bytes // MIB} MiB"
