"""Keep the embedded stack's folder private: owned by this account, and inaccessible to others."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway_cli.errors import StackError

OTHERS = 0o077
PRIVATE_UMASK = 0o077
# Every folder that `slipway up` created contains one of these.
MADE_BY_US = frozenset({"lock", "secret-key", "admin-password"})
# Folders that may contain very many files; the private folder above protects them.
LARGE = frozenset({"artifacts", "cache"})


@contextmanager
def private_files() -> Iterator[None]:
    """Create every file of this process and its children with mode 0600, and every folder with 0700."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def make_private(root: Path) -> str | None:
    """Remove the permissions of other accounts from an existing folder and the files in it.

    Returns:
        A note for the user if other accounts could read the folder, otherwise None.

    Raises:
        StackError: the folder or a file in it belongs to another account, or the folder has another program's files.
        OSError: a mode cannot be changed.
    """
    found = root.stat()
    _check_owner(root, found)
    is_open = bool(found.st_mode & OTHERS)
    if is_open:
        _check_ours(root, found.st_mode)
        root.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    for folder, folders, files in os.walk(root):
        if not is_open and Path(folder) == root:
            folders[:] = [name for name in folders if name not in LARGE]
        for name in (*folders, *files):
            _close(Path(folder, name))
    if not is_open:
        return None
    mode = stat.S_IMODE(found.st_mode)
    return f"Other accounts had access to {root} (mode {mode:04o}): it is now private (mode {mode & ~OTHERS:04o})."


def _close(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return  # a temporary file that was removed in the meantime
    if stat.S_ISLNK(found.st_mode):
        return  # a link's target may be outside of the folder
    _check_owner(path, found)
    if found.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise StackError(
            f"{path} belongs to another account (user id {found.st_uid}): give it to this account with `sudo chown`, "
            "or choose another folder with --home"
        )


def _check_ours(root: Path, mode: int) -> None:
    """Raise StackError if changing the mode of a folder would affect other programs."""
    names = {entry.name for entry in root.iterdir()}
    if mode & stat.S_ISVTX or (names and not names & MADE_BY_US):
        raise StackError(
            f"{root} is accessible to other accounts (mode {stat.S_IMODE(mode):04o}) and is not a folder of `slipway "
            "up`: choose a new or private folder with --home"
        )
