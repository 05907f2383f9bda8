"""Files that only their owner can read."""

import os
from pathlib import Path


def write_secret(path: Path, content: str) -> None:
    """Write a file with mode 0600 in one move: it is there whole, or as it was.

    Raises:
        OSError: the folder cannot be written.
    """
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(content)
    partial.replace(path)
