"""Write a file atomically: readers see either the old content or the new content."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PART_PREFIX = ".slipway-"
PART_SUFFIX = ".part"
OWNER_ONLY = 0o600
PARTIAL_SUFFIX = ".partial"


@contextmanager
def atomic_file(destination: Path, *, mode: int = 0o666, part: Path | None = None) -> Iterator[BinaryIO]:
    """Open a new file that replaces `destination` when the block ends. It is removed if the block fails.

    The folder of `destination` is created if it is missing.

    Args:
        destination: the file to write.
        mode: the permissions of the new file, reduced by the umask.
        part: the path of the temporary file, in the same folder. A leftover of a killed process is replaced.
            Defaults to a unique name.

    Raises:
        OSError: the file cannot be written.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if part is None:
        # A rename is atomic only within one file system.
        part = destination.with_name(f"{PART_PREFIX}{uuid.uuid4().hex}{PART_SUFFIX}")
    else:
        part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


def write_secret(path: Path, content: str) -> None:
    """Write a text file atomically, readable only by its owner.

    Raises:
        OSError: the file cannot be written.
    """
    # With a fixed name, the next write removes the leftover of a killed process: no copy of a secret remains.
    with atomic_file(path, mode=OWNER_ONLY, part=path.with_suffix(PARTIAL_SUFFIX)) as out:
        out.write(content.encode())


def is_part(name: str) -> bool:
    """Return whether a file name is that of an unfinished write, including a leftover of a killed process."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)
