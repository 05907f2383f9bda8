"""Write a file so that readers see the old content or the new content, never a part of it."""

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
    """Open a new file that replaces `destination` when the block ends, and is removed if the block fails.

    The folder of `destination` is created if it is missing.

    Args:
        destination: the file to write.
        mode: the permissions of the new file, reduced by the umask.
        part: the name of the file while it is written, in the same folder. A file that a killed process left there is
            replaced. Defaults to a name that no other writer uses.

    Raises:
        OSError: the file cannot be written.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if part is None:
        # In the same folder: only there is the renaming one step.
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
    """Write a text file that only its owner can read, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    # A fixed name: the next write removes what a killed process left, so no copy of a secret stays behind.
    with atomic_file(path, mode=OWNER_ONLY, part=path.with_suffix(PARTIAL_SUFFIX)) as out:
        out.write(content.encode())


def is_part(name: str) -> bool:
    """Return whether a file name is that of an unfinished write, also of a writer that was killed."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)
