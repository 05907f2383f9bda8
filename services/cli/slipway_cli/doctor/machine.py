"""Check the machine: folders, disk space, and an obviously wrong clock."""

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

# This release was written later, so a correct clock never shows an earlier time.
WRITTEN = datetime(2026, 11, 1, tzinfo=UTC)


def free_bytes(folder: Path) -> int:
    """Return the free disk space for a folder, in bytes."""
    return shutil.disk_usage(folder).free


def check_folders(context: DoctorContext, free: Callable[[Path], int] = free_bytes) -> Iterator[Finding]:
    """Check that each folder is writable and has free space.

    Args:
        context: what is examined.
        free: returns the free disk space for a folder, in bytes.
    """
    for (name, variable), folder in _folders(context).items():
        there = nearest(folder)
        if why := why_not_writable(there):
            yield broken(
                name,
                f"{folder} cannot be written ({why})",
                f"make {there} writable with `sudo chown $(id -un) {shlex.quote(str(there))}`, or set {variable} to "
                "another folder",
            )
            continue
        yield _room(name, variable, folder, free(there))


def check_clock(_context: DoctorContext, now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Find an obviously wrong clock. The registry and port checks compare it with the servers' clocks.

    Args:
        now: returns the time in seconds since the epoch.
    """
    here = datetime.fromtimestamp(now(), UTC)
    if here < WRITTEN:
        yield broken(
            "clock",
            f"this machine's clock shows {here:%Y-%m-%d}, which is before the date of this release",
            "synchronize it with network time: `sudo timedatectl set-ntp true`",
        )
    else:
        yield ok("clock", f"{here:%Y-%m-%d %H:%M:%S} UTC")


def _folders(context: DoctorContext) -> Mapping[tuple[str, str], Path]:
    """Return the folders by name and by the variable that sets them."""
    folders = {("home folder", "--home or SLIPWAY_HOME"): context.home.root}
    if not context.is_embedded:
        folders["cache folder", "SLIPWAY_CACHE_DIR"] = context.settings.cache_dir.expanduser().absolute()
    try:
        folders["temporary folder", "TMPDIR"] = Path(tempfile.gettempdir())
    except FileNotFoundError:  # none of the usual folders is writable
        folders["temporary folder", "TMPDIR"] = Path("/tmp")  # noqa: S108  # only shown, not used
    return folders


def nearest(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def why_not_writable(folder: Path) -> str:
    """Return why a file cannot be created in a folder; empty if it can. Permissions alone do not show this."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _room(name: str, variable: str, folder: Path, free: int) -> Finding:
    what = f"{folder} is writable, {_size(free)} are free"
    mend = f"make space on its disk, or set {variable} to a folder on another disk"
    if free < BROKEN_BELOW_BYTES:
        return broken(name, f"{folder} has {_size(free)} free, but {_size(BROKEN_BELOW_BYTES)} are required", mend)
    if free < WARNING_BELOW_BYTES:
        return warning(name, f"{folder} has only {_size(free)} free: training and logs may fill it", mend)
    return ok(name, what)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1024 * MIB):.1f} GiB" if size_bytes >= 1024 * MIB else f"{size_bytes // MIB} MiB"
