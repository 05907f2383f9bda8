"""The child process that tries a version: it opens the files under limits and answers over a pipe.

Run as `python -m slipway_api.serving.trial_child FD`, with a `TrialRequest` in JSON on standard input. It writes one
JSON object to the file descriptor FD: `reason` is null, or says why the version cannot be served; `overran` is true
if it needs too much memory.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.opening import WARM_UP_ROWS, open_bundle, open_foreign
from slipway_core.arena import is_out_of_memory
from slipway_core.bundle import MODEL_FILE
from slipway_core.errors import BundleError
from slipway_core.registry import ModelVersion

MIB = 1024 * 1024
PR_SET_PDEATHSIG = 1
# What Protocol Buffers, ONNX Runtime and its optimised weights take of a graph, in sizes of its file.
COPIES = 4
OPEN_FILES = 64
NICE = 5
UNKNOWN_ADDRESS_SPACE = 1024 * MIB


class TrialRequest(BaseModel):
    """What to try, and under which limits.

    Attributes:
        folder: where the version's files are.
        known: the version; without `manifest_sha256` meaning anything if it is foreign.
        foreign: whether another tool registered it; else it is a bundle of Slipway's trainer.
        created_at: when it was registered, seconds since the epoch.
        parent: the process that waits for the answer.
        memory_bytes: what it may allocate, beyond what the libraries and the graph itself take.
        cpu_seconds: the processor time that it may take.
    """

    folder: Path
    known: LastServed
    foreign: bool
    created_at: float
    parent: int
    memory_bytes: int
    cpu_seconds: int


def main() -> None:
    """Answer one request."""
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answer:
        request = TrialRequest.model_validate_json(sys.stdin.buffer.read())
        _end_with_parent(request.parent)
        _limit(request)
        answer.write(json.dumps(_try(request)))


def _try(request: TrialRequest) -> dict[str, object]:
    known = request.known
    try:
        if request.foreign:
            version = ModelVersion(known.name, known.version, created_at=request.created_at)
            open_foreign(request.folder, version, pinned=False)
        else:
            open_bundle(request.folder, known, "registry", pinned=False)
    except MemoryError:
        return _too_large(request)
    except BundleError as error:
        return _too_large(request) if is_out_of_memory(error.__cause__) else {"reason": str(error), "overran": False}
    return {"reason": None, "overran": False}


def _too_large(request: TrialRequest) -> dict[str, object]:
    reason = (
        f"the graph needs more than {request.memory_bytes // MIB} MiB of memory for its golden rows and "
        f"{max(WARM_UP_ROWS)} rows: export a smaller one"
    )
    return {"reason": reason, "overran": True}


def _limit(request: TrialRequest) -> None:
    """Limit memory and processor time; let other processes go first, and let the kernel end this one first."""
    for lower in (_lower_priority, _offer_to_oom_killer):
        with contextlib.suppress(OSError):
            lower()
    size = _size(request.folder / MODEL_FILE)
    soft = _address_space() + request.memory_bytes + COPIES * size
    limits = {
        resource.RLIMIT_AS: soft,
        resource.RLIMIT_CPU: request.cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    for kind, value in limits.items():
        # macOS does not limit the address space; a container may have lower limits already.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def _lower_priority() -> None:
    os.nice(NICE)


def _offer_to_oom_killer() -> None:
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _address_space() -> int:
    """Return the bytes of address space in use, or a guess where that is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return UNKNOWN_ADDRESS_SPACE
    return pages * resource.getpagesize()


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


if __name__ == "__main__":
    main()
