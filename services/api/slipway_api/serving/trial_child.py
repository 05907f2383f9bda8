"""The child process that tries a version: it opens the files under resource limits and writes the result to a pipe.

Run as `python -m slipway_api.serving.trial_child FD`, with a `TrialRequest` in JSON on standard input. It writes one
JSON object to the file descriptor FD: `reason` is null or explains why the version cannot be served; `overran` is
true if the version exceeded the memory limit.
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
from slipway_core.errors import BundleError
from slipway_core.manifest import MODEL_FILE
from slipway_core.registry import ModelVersion

MIB = 1024 * 1024
PR_SET_PDEATHSIG = 1
# Memory for Protocol Buffers, ONNX Runtime and its optimized weights, as a multiple of the graph's file size.
COPIES = 4
OPEN_FILES = 64
NICE = 5
UNKNOWN_ADDRESS_SPACE = 1024 * MIB


class TrialRequest(BaseModel):
    """The version to try, and its limits.

    Attributes:
        folder: the folder with the version's files.
        known: the version; its `manifest_sha256` is unused if `foreign`.
        foreign: whether another tool than Slipway's trainer registered the version.
        created_at: when it was registered, seconds since the epoch.
        parent: the process that waits for the result.
        memory_bytes: the memory limit, in addition to what the libraries and the graph need.
        cpu_seconds: the limit of processor time.
    """

    folder: Path
    known: LastServed
    foreign: bool
    created_at: float
    parent: int
    memory_bytes: int
    cpu_seconds: int


def main() -> None:
    """Try the version of one request and write the result."""
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
            open_foreign(request.folder, version)
        else:
            open_bundle(request.folder, known, "registry")
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
    """Limit memory and processor time, lower the priority, and let the kernel kill this process first."""
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
        # macOS does not limit the address space, and a container may have lower limits.
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
    """Return the bytes of address space in use, or an estimate on systems that do not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return UNKNOWN_ADDRESS_SPACE
    return pages * resource.getpagesize()


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent has ended already
        os._exit(1)


if __name__ == "__main__":
    main()
