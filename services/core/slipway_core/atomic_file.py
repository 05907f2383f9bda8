"""Writing a file so that nobody ever sees a part of it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PART_PREFIX = ".slipway-"
PART_SUFFIX = ".part"


@contextmanager
def atomic_file(destination: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes `destination`'s place when the block ends, and is gone if the block fails.

    Its folder is made if it is new.

    Raises:
        OSError: it cannot be written.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: only there is the renaming one step.
    part = destination.with_name(f"{PART_PREFIX}{uuid.uuid4().hex}{PART_SUFFIX}")
    try:
        with part.open("xb") as out:
            yield out
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


def is_part(name: str) -> bool:
    """Tell whether a file's name is that of one that is being written, or was when its writer was killed."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)
