"""Speed up the start of a service."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports(*unused: str) -> Iterator[None]:
    """Import heavy modules inside the block without garbage collection, which would find no garbage.

    Imported objects are excluded from later collections, too.

    Args:
        unused: optional dependencies of the imported libraries that the service does not need. Inside the block, their
            import fails.
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
