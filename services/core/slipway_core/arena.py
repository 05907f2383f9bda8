"""One limited memory pool of ONNX Runtime (an arena), shared by all sessions of this process.

By default, each session has its own unlimited pool and never returns the memory of its largest run.
"""

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import onnxruntime

# Enough for many models on a large machine; the upper limit of what one request can allocate.
MAX_ARENA_BYTES: Final = 4 * 1024 * 1024 * 1024
# The memory limit of a container, in versions 2 and 1 of Linux control groups.
CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# Grow by the requested size, not to the next power of two.
_SAME_AS_REQUESTED = 1
# Words in the messages of ONNX Runtime and of C++ exceptions when an allocation fails.
_ALLOCATION_WORDS = ("bad_alloc", "allocat", "bad array new length", "length_error", "smaller than requested bytes")

_lock = threading.Lock()
_registered: list[int] = []


@cache
def arena_bytes(limits: tuple[Path, ...] = CGROUP_LIMITS) -> int:
    """Return the size of the arena: half of the memory available to this process, at most MAX_ARENA_BYTES."""
    usable = 2 * MAX_ARENA_BYTES
    if hasattr(os, "sysconf"):  # not on Windows, where a notebook may load a model
        usable = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):  # the file is missing outside Linux; it contains `max` if no limit is set
            usable = min(usable, int(path.read_text(encoding="ascii")))
    return min(usable // 2, MAX_ARENA_BYTES)


def use_shared_arena(options: onnxruntime.SessionOptions) -> None:
    """Make a session allocate its memory from the shared arena.

    ONNX Runtime counts the weights towards the limit, but checks the limit only when a run allocates. Sessions whose
    weights exceed the arena still load, and their runs are then unlimited.
    """
    with _lock:
        if not _registered:
            _register(arena_bytes())
            _registered.append(arena_bytes())
    options.add_session_config_entry("session.use_env_allocators", "1")


def _register(size: int) -> None:
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    settings = onnxruntime.OrtArenaCfg({"max_mem": size, "arena_extend_strategy": _SAME_AS_REQUESTED})
    onnxruntime.create_and_register_allocator(where, settings)


def releasing_options() -> onnxruntime.RunOptions:
    """Return run options that make a run of any size return its unused memory to the system when it ends."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether a run or a load failed because memory could not be allocated."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in _ALLOCATION_WORDS)
