"""Importing a service quickly."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports(*unused: str) -> Iterator[None]:
    """Import heavy modules inside the block without the garbage collector, which would find nothing in them.

    What was imported stays for good, so that later collections need not walk it either.

    Args:
        unused: modules that libraries import only if they are there, for uses that the service does not have. Inside
            the block they are not there.
    """
    hidden = [name for name in unused if name not in sys.modules]
    gc.disable()
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
