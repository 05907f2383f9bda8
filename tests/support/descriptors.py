"""A process that has used up its file descriptors."""

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT = 512


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Use up all file descriptors of this process until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
