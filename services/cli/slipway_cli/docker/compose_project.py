"""Call `docker compose` in the project's folder, and describe its failures in one sentence."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from slipway_cli.errors import StackError
from slipway_cli.tar_streams.streams import drain
from slipway_core.program import ERROR_PREFIX

COMPOSE_FILE = "docker-compose.yml"
# After its input ends, a command has END_SECONDS to exit. Then it is terminated, and after KILL_SECONDS killed.
END_SECONDS, KILL_SECONDS = 2.0, 20.0

NOT_INSTALLED = (
    "Docker with Compose is not installed, or not on the PATH: this command manages the stack of docker compose, so "
    "run it on the machine of that stack"
)
# Parts of Docker's messages that are stable across releases, with Slipway's message for each.
KNOWN = {
    "Cannot connect to the Docker daemon": "Docker does not respond: start it, or set DOCKER_HOST to its address",
    "permission denied while trying to connect": "this account may not use Docker: add it to the group docker, or use "
    "another account",
    "is not a docker command": NOT_INSTALLED,
    "unknown flag": "Docker Compose is too old for Slipway: it needs Docker Engine 26 or newer",
    # A folder in the volume of secrets. Each start of the stack creates it again.
    "cannot access path": "the stack was last started by an older release, which created no keys for this release's "
    "jobs: run `docker compose up --build --detach --wait`, then this command again",
    "no configuration file provided": f"{COMPOSE_FILE} not found: change to Slipway's folder, or set it with "
    "--project-directory; to back up the stack of `slipway up`, copy its folder (docs/backup.md)",
}


class Call:
    """A running command in a container.

    Attributes:
        stdin: the command's input.
        stdout: the command's output.
    """

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes], name: str) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("both streams must be pipes")
        self.stdin, self.stdout = process.stdin, process.stdout
        self._process = process
        self._stderr = stderr
        self._name = name

    def finish(self) -> None:
        """Close the input of the command, and wait until it succeeds.

        Raises:
            StackError: the command failed.
        """
        try:
            self.stdin.close()
        except OSError as error:
            raise self.failure() from error
        drain(self.stdout)
        if self._process.wait() != 0:
            raise self.failure()

    def failure(self) -> StackError:
        """Return the error of the command, which has exited or is about to, from its standard error."""
        _wait(self._process)
        self._stderr.seek(0)
        return _failure(self._name, self._stderr.read().decode(errors="replace"))

    def abort(self) -> None:
        """End the command; its input ends early."""
        # Buffered input must not be written.
        with suppress(OSError):
            self.stdin.close()
        # If its output is not read, the Docker client exits and the job continues without it.
        reading = threading.Thread(target=drain, args=(self.stdout,), daemon=True)
        reading.start()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            _terminate(self._process)
        reading.join(KILL_SECONDS)
        if not reading.is_alive():
            self.stdout.close()


class ComposeProject:
    """The compose project in a folder.

    Attributes:
        folder: the folder of its compose file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *arguments: str) -> str:
        """Run `docker compose` and return its output.

        Raises:
            StackError: Docker is not installed, or the command failed.
        """
        try:
            process = subprocess.Popen(  # noqa: S603  # docker, its arguments one by one
                _command(arguments),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(NOT_INSTALLED) from error
        with process:
            try:
                printed, stderr = process.communicate()
            except BaseException:
                _terminate(process)
                raise
        if process.returncode != 0:
            raise _failure(arguments[0], stderr.decode(errors="replace"))
        return printed.decode(errors="replace")

    @contextmanager
    def calling(self, *arguments: str) -> Iterator[Call]:
        """Run `docker compose` in parallel to the block; at the end, raise an error unless the command succeeds.

        Raises:
            StackError: Docker is not installed, or the command failed, even if it broke a stream inside the block.
        """
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(  # noqa: S603  # as above
                    _command(arguments),
                    cwd=self.folder,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    # Only this process handles Ctrl-C, because it ends the commands in the right order.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(NOT_INSTALLED) from error
            call = Call(process, stderr, arguments[0])
            try:
                yield call
                call.finish()
            except BrokenPipeError as error:
                raise call.failure() from error
            finally:
                call.abort()

    def config(self) -> dict[str, Any]:
        """Return the project's configuration, as resolved by Docker Compose. It may contain secrets.

        Raises:
            StackError: the configuration is missing or invalid.
        """
        config: dict[str, Any] = json.loads(self.call("config", "--format", "json"))
        return config

    def running(self) -> set[str]:
        """Return the names of the running services."""
        return set(self.call("ps", "--services", "--status", "running").split())

    def stop(self, services: Sequence[str]) -> None:
        """Stop services."""
        if services:
            self.call("stop", *services)

    def start(self, services: Sequence[str], *, with_others: bool = False) -> None:
        """Start services and wait until they are healthy; running services are not restarted.

        Args:
            services: their names.
            with_others: whether to start the services that they depend on, too.
        """
        if services:
            alone = [] if with_others else ["--no-deps"]
            self.call("up", "--detach", "--no-recreate", "--wait", *alone, *services)

    def run_job(self, service: str, *command: str) -> str:
        """Run a one-shot container of a service, by default with the service's own command."""
        return self.call(*_job(service, command))

    @contextmanager
    def running_job(self, service: str, *command: str) -> Iterator[Call]:
        """Run a one-shot container in parallel to the block, as `calling` does."""
        with self.calling(*_job(service, command)) as call:
            yield call


def find_project(start: Path) -> ComposeProject:
    """Return the project in the folder `start`, or in its nearest parent folder that has one.

    Raises:
        StackError: no project is found.
    """
    folder = next((one for one in (start, *start.parents) if (one / COMPOSE_FILE).is_file()), None)
    if folder is None:
        raise StackError(KNOWN["no configuration file provided"])
    return ComposeProject(folder)


def _command(arguments: Sequence[str]) -> list[str]:
    return ["docker", "compose", "--progress", "quiet", *arguments]


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End a command, and its container if it is a job."""
    if process.poll() is not None:
        return
    # The whole session: the compose plugin is a separate process, and only it passes the signal to the container.
    os.killpg(process.pid, signal.SIGTERM)
    _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until a command has ended; kill it after KILL_SECONDS."""
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _job(service: str, command: Sequence[str]) -> list[str]:
    return ["run", "--rm", "--no-deps", "-T", service, *command]


def _failure(name: str, stderr: str) -> StackError:
    """Return an error with one sentence from the standard error of docker or of the command in the container."""
    known = next((sentence for part, sentence in KNOWN.items() if part in stderr), None)
    if known:
        return StackError(known)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no error message")
    return StackError(f"`docker compose {name}` failed: {line.removeprefix(ERROR_PREFIX)}")
