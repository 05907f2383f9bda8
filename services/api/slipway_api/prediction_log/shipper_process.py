"""The shipper's process: its loop and shutdown, and how `slipway-api serve` starts and stops it.

Loading runs in a separate process so that it takes no processor time from the workers. It imports neither the web
framework nor the model runtime.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slipway_api.errors import NotReadyError
from slipway_api.prediction_log.journal import SUFFIX
from slipway_api.settings import ApiSettings
from slipway_core.errors import ConfigurationError
from slipway_core.logging import configure_logging, get_logger
from slipway_core.program import exit_on_error
from slipway_core.settings import load_settings

# The maximum time between rounds; an empty round is cheap.
POLL_SECONDS = 0.05
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 2.0
# Time limit of the last round, for records that are left or still being written.
DRAIN_SECONDS = 5.0
LOCK_SECONDS = 0.5
LOCK_FILE = "shipper.lock"
# How long `stop` waits for the last round before it kills the process.
STOP_SECONDS = DRAIN_SECONDS + 2.0
# How long `stop` waits for a second attempt if records are left.
LAST_SECONDS = 5.0
FIRST_RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0

log = get_logger("slipway.shipper")


def ship(settings: ApiSettings, *, parent: int | None = None, once: bool = False) -> None:
    """Ship the journal until a signal arrives or the parent process ends.

    Args:
        settings: select the journal and the database.
        parent: id of the process that started this one; this process ends after it.
        once: end as soon as the journal is empty or the database is unavailable.

    Raises:
        ConfigurationError: the journal's folder cannot be used.
    """
    # Imported here to save half a second when only the usage is printed.
    from slipway_api.prediction_log.loading import SqlLoadingStore  # noqa: PLC0415
    from slipway_api.prediction_log.shipper import Shipper  # noqa: PLC0415
    from slipway_core.database import connect  # noqa: PLC0415

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # A Ctrl-C reaches every process of a terminal; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN if parent is not None else lambda *_: stop.set())

    def is_over() -> bool:
        return stop.is_set() or (parent is not None and os.getppid() != parent)

    with _sole_shipper(settings.journal_dir, is_over, wait=not once) as is_sole:
        if not is_sole:
            return
        store = SqlLoadingStore(connect(settings.database_url.get_secret_value()))
        shipper = Shipper(settings.journal_dir, store, retention_days=settings.prediction_retention_days)
        loop = ShippingLoop(shipper.ship_once, shipper.is_drained)
        try:
            if not once:
                loop.run(is_over, stop.wait)
            loop.drain()
        finally:
            store.close()


class ShippingLoop:
    """Ship in rounds, with a backoff while the database is unavailable."""

    def __init__(self, ship_once: Callable[[], int], is_drained: Callable[[], bool]) -> None:
        self._ship_once = ship_once
        self._is_drained = is_drained
        self._backoff = 0.0

    def run(self, is_over: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """Ship until `is_over` returns true; `wait` pauses for some seconds, or less if shipping is over."""
        while not is_over():
            if self._round():
                wait(POLL_SECONDS)
            else:
                wait(self._backoff)

    def drain(self) -> None:
        """Ship the remaining records, including those written meanwhile; stop if the database is unavailable."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._round() and not self._is_drained() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _round(self) -> bool:
        """Ship once; return whether the database was available."""
        try:
            self._ship_once()
        except NotReadyError as error:
            if not self._backoff:
                log.warning("shipper_database_away", reason=str(error), cause=type(error.__cause__).__name__)
            self._backoff = min(max(self._backoff * 2, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            return False
        except OSError as error:
            log.warning("shipper_journal_unreadable", reason=error.strerror)
            self._backoff = LONGEST_BACKOFF_SECONDS
            return False
        if self._backoff:
            log.info("shipper_database_back")
        self._backoff = 0.0
        return True


@contextmanager
def _sole_shipper(folder: Path, is_over: Callable[[], bool], *, wait: bool) -> Iterator[bool]:
    """Hold a journal's lock; yield whether it was acquired before `is_over` returned true."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the folder of SLIPWAY_JOURNAL_DIR cannot be used ({error.strerror}): fix its permissions, or set another"
        ) from error
    try:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if is_over() or not wait:
                    yield False
                    return
                if not waiting:
                    log.info("shipper_waits", reason="another process ships this journal")
                waiting = True
                time.sleep(LOCK_SECONDS)
        yield True
    finally:
        os.close(file)


class ShipperProcess:
    """Run the shipper as a child process, and restart it if it ends unexpectedly."""

    def __init__(self, journal: Path, command: Sequence[str] = (sys.executable, "-m", "slipway_api", "ship")) -> None:
        self._journal = journal
        self._command = list(command)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep_running, name="shipper", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the child and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Let the child ship the remaining records and end it. Blocks for some seconds at most."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            _wait(self._process, STOP_SECONDS)
            if self._process.returncode == 0:
                return
        # It ended early, for example because a signal reached the whole process group or interrupted its start.
        if any(self._journal.glob(f"*{SUFFIX}")) and (last := self._started("--once")) is not None:
            _wait(last, LAST_SECONDS)

    def _keep_running(self) -> None:
        pause = FIRST_RESTART_SECONDS
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = self._started(f"--parent={os.getpid()}")
            began = time.monotonic()
            code = None if self._process is None else self._process.wait()
            if self._stopping.is_set():
                return
            pause = FIRST_RESTART_SECONDS if time.monotonic() - began > LONGEST_RESTART_SECONDS else pause * 2
            pause = min(pause, LONGEST_RESTART_SECONDS)
            if code is not None:
                log.error("shipper_ended", exit_code=code, again_in_seconds=pause)
            self._stopping.wait(pause)

    def _started(self, argument: str) -> "subprocess.Popen[bytes] | None":
        """Start a shipper; None if the system starts no process now.

        That may be for want of memory or processes, or because an `exec` fails while another thread starts a process.
        """
        try:
            return subprocess.Popen([*self._command, argument], stdin=subprocess.DEVNULL)  # noqa: S603  # our own command
        except OSError as error:
            log.error("shipper_not_started", reason=error.strerror)  # noqa: TRY400  # the reason is sufficient
            return None


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for a process to end, and kill it after a timeout."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slipway-api ship`."""
    parser = argparse.ArgumentParser(prog="slipway-api ship", description="Load the journal into the database.")
    parser.add_argument("--parent", type=int, help="Stop when the process with this id ends.")
    parser.add_argument("--once", action="store_true", help="Ship the present records and exit.")
    options = parser.parse_args(arguments)
    with exit_on_error():
        settings = load_settings(ApiSettings)
        configure_logging(settings.log_level, settings.log_format)
        ship(settings, parent=options.parent, once=options.once)
