"""Calls of `docker compose` in the project's folder, and what goes wrong with them in one sentence."""

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
# After the end of its input, a command has END_SECONDS to exit. Then it is terminated, and after KILL_SECONDS killed.
END_SECONDS, KILL_SECONDS = 2.0, 20.0

NOT_INSTALLED = (
    "Docker with Compose is not installed here, or not on the PATH: this is for the stack of docker compose, so run "
    "it where that stack runs"
)
# What docker says, in parts that stay the same from release to release, and what to do.
KNOWN = {
    "Cannot connect to the Docker daemon": "Docker does not answer: start it, or point DOCKER_HOST to it",
    "permission denied while trying to connect": "Docker may not be used by this account: add it to the group docker, "
    "or use one that may",
    "is not a docker command": NOT_INSTALLED,
    "unknown flag": "Docker Compose is too old for Slipway: it needs Docker Engine 26 or newer",
    # A folder of the volume of secrets, which each start of the stack writes anew.
    "cannot access path": "the stack was started last by an older release, which gave this one's jobs no keys: run "
    "`docker compose up --build --detach --wait`, then this again",
    "no configuration file provided": f"{COMPOSE_FILE} not found: change to Slipway's folder, or set it with "
    "--project-directory",
}


class Call:
    """A command in a container, while it runs.

    Attributes:
        stdin: what it reads.
        stdout: what it writes.
    """

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], name: str) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("both streams must be pipes")
        self.stdin, self.stdout = process.stdin, process.stdout
        self._process = process
        self._said = said
        self._name = name

    def finish(self) -> None:
        """Close the input of the command, and wait until it succeeds.

        Raises:
            StackError: it failed.
        """
        try:
            self.stdin.close()
        except OSError as error:
            raise self.failure() from error
        drain(self.stdout)
        if self._process.wait() != 0:
            raise self.failure()

    def failure(self) -> StackError:
        """Return what the command, which has ended or is about to, says of its failure."""
        _wait(self._process)
        self._said.seek(0)
        return _failure(self._name, self._said.read().decode(errors="replace"))

    def abort(self) -> None:
        """End the command: what it reads ends early."""
        # What was not written yet is not to be.
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
    """The stack of docker compose, as its folder tells.

    Attributes:
        folder: where its compose file is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *arguments: str) -> str:
        """Run `docker compose` and return what it printed.

        Raises:
            StackError: Docker is not there, or it failed.
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
                printed, said = process.communicate()
            except BaseException:
                _terminate(process)
                raise
        if process.returncode != 0:
            raise _failure(arguments[0], said.decode(errors="replace"))
        return printed.decode(errors="replace")

    @contextmanager
    def calling(self, *arguments: str) -> Iterator[Call]:
        """Run `docker compose` beside the block; the block ends well only if the command does.

        Raises:
            StackError: Docker is not there, or the command failed: also where that broke a stream inside the block.
        """
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(  # noqa: S603  # as above
                    _command(arguments),
                    cwd=self.folder,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    # Ctrl-C is for us alone: we know in which order to end things.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(NOT_INSTALLED) from error
            call = Call(process, said, arguments[0])
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
        """Return the services that run."""
        return set(self.call("ps", "--services", "--status", "running").split())

    def stop(self, services: Sequence[str]) -> None:
        """Stop services."""
        if services:
            self.call("stop", *services)

    def start(self, services: Sequence[str], *, with_others: bool = False) -> None:
        """Start services and wait until they are well; one that runs stays as it is.

        Args:
            services: their names.
            with_others: whether to start what they depend on, too.
        """
        if services:
            alone = [] if with_others else ["--no-deps"]
            self.call("up", "--detach", "--no-recreate", "--wait", *alone, *services)

    def run_job(self, service: str, *command: str) -> str:
        """Run a one-shot container of a service, with a command of its own if one is given."""
        return self.call(*_job(service, command))

    @contextmanager
    def running_job(self, service: str, *command: str) -> Iterator[Call]:
        """Run a one-shot container beside the block, as `calling` does."""
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
    """End a command, and the container of a job with it."""
    if process.poll() is not None:
        return
    # All of the session: Compose is a process of its own, and it alone passes the signal on to the container.
    os.killpg(process.pid, signal.SIGTERM)
    _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until a command that is about to end has ended; one that does not is killed."""
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _job(service: str, command: Sequence[str]) -> list[str]:
    return ["run", "--rm", "--no-deps", "-T", service, *command]


def _failure(name: str, said: str) -> StackError:
    """Return one sentence of what docker, or the command in the container, said on standard error."""
    known = next((sentence for part, sentence in KNOWN.items() if part in said), None)
    if known:
        return StackError(known)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it said nothing")
    return StackError(f"`docker compose {name}` failed: {line.removeprefix(ERROR_PREFIX)}")
