"""The shipper as a process: its loop and its end, and how `slipway-api serve` starts and ends it.

A process of its own, so that loading takes nothing from the processor of those who answer. It imports neither the web
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
from slipway_core.errors import ConfigurationError, SlipwayError
from slipway_core.logging import configure_logging, get_logger
from slipway_core.printable import printable
from slipway_core.settings import load_settings

# How long a record waits for its round at most; looking costs next to nothing.
POLL_SECONDS = 0.05
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 2.0
# How long the last round may take for what is still there, or still being written.
DRAIN_SECONDS = 5.0
LOCK_SECONDS = 0.5
LOCK_FILE = "shipper.lock"
# What a stop waits for before it ends the process by force: its last round and some.
STOP_SECONDS = DRAIN_SECONDS + 2.0
# And for another one, where that one could not ship what there is. A database that stands still lets neither.
LAST_SECONDS = 5.0
FIRST_RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 30.0

log = get_logger("slipway.shipper")


def ship(settings: ApiSettings, *, parent: int | None = None, once: bool = False) -> None:
    """Ship the journal until a signal ends it, or its parent has ended.

    Args:
        settings: which journal, which database.
        parent: the process that started it; it ends after that one.
        once: end as soon as there is nothing left, or the database is away.

    Raises:
        ConfigurationError: the journal's folder cannot be used.
    """
    # Half a second that a process which only says how it is used need not spend.
    from slipway_api.prediction_log.loading import SqlLoadingStore  # noqa: PLC0415
    from slipway_api.prediction_log.shipper import Shipper  # noqa: PLC0415
    from slipway_core.database import connect  # noqa: PLC0415

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # A Ctrl-C reaches every process of a terminal; whoever started this one ends it when it is time.
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
    """Round after round, with patience while the database is away."""

    def __init__(self, ship_once: Callable[[], int], is_drained: Callable[[], bool]) -> None:
        self._ship_once = ship_once
        self._is_drained = is_drained
        self._backoff = 0.0

    def run(self, is_over: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """Ship until it is over; `wait` waits some seconds, or less if it is over sooner."""
        while not is_over():
            if self._round():
                wait(POLL_SECONDS)
            else:
                wait(self._backoff)

    def drain(self) -> None:
        """Ship what is there, and what is written in these seconds; leave it if the database is away."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._round() and not self._is_drained() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _round(self) -> bool:
        """Ship once; tell whether the database was there."""
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
    """Hold a journal's lock; yield whether it was got before it was over."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the folder of SLIPWAY_JOURNAL_DIR cannot be used ({error.strerror}): mend its permissions, or set another"
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
    """The shipper as a child: started, started again when it ends by itself, and ended."""

    def __init__(self, journal: Path, command: Sequence[str] = (sys.executable, "-m", "slipway_api", "ship")) -> None:
        self._journal = journal
        self._command = list(command)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep_running, name="shipper", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's process id, if one runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it, and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Let it ship what is left, and end it. Blocks for some seconds at most."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            _wait(self._process, STOP_SECONDS)
            if self._process.returncode == 0:
                return
        # It ended before it was to, as when a signal went to all of us, or when it had only begun to start.
        if any(self._journal.glob(f"*{SUFFIX}")):
            last = subprocess.Popen([*self._command, "--once"], stdin=subprocess.DEVNULL)  # noqa: S603  # ours
            _wait(last, LAST_SECONDS)

    def _keep_running(self) -> None:
        pause = FIRST_RESTART_SECONDS
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = subprocess.Popen(  # noqa: S603  # our own command
                    [*self._command, f"--parent={os.getpid()}"], stdin=subprocess.DEVNULL
                )
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            pause = FIRST_RESTART_SECONDS if time.monotonic() - began > LONGEST_RESTART_SECONDS else pause * 2
            pause = min(pause, LONGEST_RESTART_SECONDS)
            log.error("shipper_ended", exit_code=code, again_in_seconds=pause)
            self._stopping.wait(pause)


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for a process to end, and end it if it does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `slipway-api ship`."""
    parser = argparse.ArgumentParser(prog="slipway-api ship", description="Take the journal to the database.")
    parser.add_argument("--parent", type=int, help="End after the process with this id.")
    parser.add_argument("--once", action="store_true", help="Ship what is there and end.")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(ApiSettings)
        configure_logging(settings.log_level, settings.log_format)
        ship(settings, parent=options.parent, once=options.once)
    except SlipwayError as error:
        print(printable(f"Error: {error}"), file=sys.stderr)
        raise SystemExit(1) from error
