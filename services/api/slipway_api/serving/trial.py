"""Try a version in a child process before this process opens it: its graph may never end, or use all memory."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway_api.serving.bundle_cache import LastServed
from slipway_api.serving.opening import LOAD_SECONDS
from slipway_core.errors import BundleError

MEMORY_BYTES = 1024 * 1024 * 1024
SECONDS = LOAD_SECONDS
CPU_SECONDS = 30
CONCURRENT_TRIALS = 8
ANSWER_MAX_BYTES = 16_384
REQUEST_MAX_BYTES = 16_384
REASON_MAX_LENGTH = 1_000
SMALLER = "train a smaller or faster model, or promote another version"
# The child gets no secrets: only what Python and its libraries need to be found.
PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class TrialError(BundleError):
    """The version exceeded a limit of its trial, or ended the child process."""


@dataclass(frozen=True)
class Candidate:
    """A version to try.

    Attributes:
        folder: the folder with its files.
        known: the version.
        foreign: whether another tool than Slipway's trainer registered the version.
        created_at: when it was registered, seconds since the epoch.
    """

    folder: Path
    known: LastServed
    foreign: bool = False
    created_at: float = 0.0


class Trial(Protocol):
    """Tries versions."""

    def __call__(self, candidate: Candidate) -> None:
        """Return if a version can be opened.

        Raises:
            TrialError: the version exceeded a limit.
            BundleError: the version cannot be opened.
        """
        ...


class ChildTrial:
    """Try each version in its own child process. Thread-safe."""

    def __init__(
        self,
        *,
        memory_bytes: int = MEMORY_BYTES,
        seconds: float = SECONDS,
        cpu_seconds: int = CPU_SECONDS,
        module: str = "slipway_api.serving.trial_child",
    ) -> None:
        """Start no process yet.

        Args:
            memory_bytes: the memory limit, in addition to what the libraries and the graph need.
            seconds: how long a trial may take.
            cpu_seconds: the limit of processor time.
            module: the module that the child runs.
        """
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._cpu_seconds = cpu_seconds
        self._module = module
        self._may_run = threading.BoundedSemaphore(CONCURRENT_TRIALS)

    def __call__(self, candidate: Candidate) -> None:
        """Return if a version can be opened.

        Raises:
            TrialError: the version exceeded a limit, or ended the child.
            BundleError: the version cannot be opened.
        """
        with self._may_run:
            content = self._run(self._request(candidate))
        try:
            answer = json.loads(content)
            reason, overran = answer["reason"], answer["overran"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TrialError("the child process that tried the version returned an invalid result") from error
        if reason is not None:
            raise (TrialError if overran else BundleError)(str(reason)[:REASON_MAX_LENGTH])

    def _request(self, candidate: Candidate) -> bytes:
        known = candidate.known.model_copy(update={"description": "", "run_id": ""})
        request = {
            "folder": str(candidate.folder.absolute()),
            "known": known.model_dump(),
            "foreign": candidate.foreign,
            "created_at": candidate.created_at,
            "parent": os.getpid(),
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": self._cpu_seconds,
        }
        return json.dumps(request).encode()

    def _run(self, request: bytes) -> bytes:
        """Return the child's result."""
        deadline = time.monotonic() + self._seconds
        ours, theirs = os.pipe()
        try:
            try:
                child = self._start(theirs)
            finally:
                os.close(theirs)
            try:
                _ask(child, request)
                content = _read(ours, deadline)
                why = None if content else _why_ended(child, self._cpu_seconds)
            finally:
                _end(child)
        except TimeoutError as error:
            raise TrialError(
                f"the graph did not finish its golden rows within {self._seconds:g} s: {SMALLER}"
            ) from error
        finally:
            os.close(ours)
        if why is not None:
            raise TrialError(why)
        return content

    def _start(self, answer: int) -> "subprocess.Popen[bytes]":
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            return subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-s", "-P", "-m", self._module, str(answer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(answer,),
                env={**environment, **ONE_THREAD},
                start_new_session=True,
            )
        except OSError as error:
            raise TrialError(
                f"no child process can be started to try the version ({error.strerror}): check the limits of "
                "memory and processes"
            ) from error


def _ask(child: "subprocess.Popen[bytes]", request: bytes) -> None:
    # The pipe's buffer holds the whole request, so this does not block.
    if child.stdin is None or len(request) > REQUEST_MAX_BYTES:
        raise TrialError("the name of the version is too long for a trial: register it under a shorter one")
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(request)
        child.stdin.close()


def _read(pipe: int, deadline: float) -> bytes:
    """Read until the other end is closed.

    Raises:
        TimeoutError: the deadline has passed.
        TrialError: the result is too long.
    """
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(pipe, ANSWER_MAX_BYTES)
            if not chunk:
                return content
            content += chunk
            if len(content) > ANSWER_MAX_BYTES:
                raise TrialError("the child process that tried the version returned a result that is too long")


def _why_ended(child: "subprocess.Popen[bytes]", cpu_seconds: int) -> str:
    try:
        code = child.wait(5)
    except subprocess.TimeoutExpired:
        return "the child process that tried the version returned no result"
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return (
            f"the graph took more than {cpu_seconds} s of processor time for its golden rows, or more memory than the "
            f"machine has: {SMALLER}"
        )
    how = f"the signal {signal.Signals(-code).name}" if code < 0 else f"the exit code {code}"
    return f"the graph ended the process that tried it, with {how}: {SMALLER}"


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill a child and its descendants."""
    # Before `wait`, no other process can have this id.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    child.wait()
