"""Start MLflow, the API and, if a model is missing, the trainer; restart servers that exit; stop everything."""

import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from slipway_cli.addresses import reachable_url
from slipway_cli.embedded.environments import Environments
from slipway_cli.embedded.guardian_client import GuardianClient, end_orphans
from slipway_cli.embedded.home import Home
from slipway_cli.embedded.process import ManagedProcess
from slipway_cli.embedded.signing import sign_registry, trust_keys
from slipway_cli.errors import StackError
from slipway_core.errors import RegistryError
from slipway_core.registry import PRODUCTION
from slipway_core.registry.mlflow import MlflowRegistry

STOP_SECONDS = 10.0
START_SECONDS = 180.0
POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A server that exits this soon after each start cannot run.
EARLY_SECONDS = 10.0
EARLY_ENDS = 3


@dataclass(frozen=True)
class StackOptions:
    """The options of the stack.

    Attributes:
        recipes: the recipes to train if their models have no Production version.
        default_model: the model of /predict.
        database_url: Slipway's database.
        has_own_registry: whether MLflow uses a database set by the user, which may already contain models.
        trainer_command: the command of the trainer, to which the recipe's name is appended.
    """

    host: str
    port: int
    mlflow_port: int
    recipes: tuple[str, ...]
    default_model: str
    database_url: str
    trainer_command: tuple[str, ...]
    has_own_registry: bool = False

    @property
    def api_url(self) -> str:
        """The API's address, as reachable from this machine."""
        return reachable_url(self.host, self.port)

    @property
    def mlflow_url(self) -> str:
        """The registry's address, on loopback only."""
        return f"http://127.0.0.1:{self.mlflow_port}"


class Stack:
    """The running stack."""

    def __init__(
        self,
        options: StackOptions,
        home: Home,
        environments: Environments,
        echo: Callable[[str], None],
    ) -> None:
        """Prepare a stack.

        Args:
            options: the options of the stack.
            home: the folder for all files.
            environments: the environment of each process.
            echo: prints a line for the user.
        """
        self._options = options
        self._home = home
        self._echo = echo
        self._stopping = False
        self._guard = GuardianClient(home.groups_file)
        self._mlflow = ManagedProcess(
            "MLflow",
            [sys.executable, "-m", "slipway_cli.embedded.mlflow_server", f"--port={options.mlflow_port}"],
            environments.mlflow,
            home.root,
            home.logs / "mlflow.log",
            self._guard,
        )
        self._api = ManagedProcess(
            "The API",
            [sys.executable, "-m", "slipway_api", "serve"],
            environments.api,
            home.work,  # an empty working directory: a model that could read it would find no secret
            home.logs / "api.log",
            self._guard,
        )
        # Users' data paths are relative to the current folder, so the trainer keeps it as its working directory.
        self._trainers = {
            recipe: ManagedProcess(
                f"The training of {recipe}",
                [*options.trainer_command, recipe],
                environments.trainer,
                Path.cwd(),
                None,
                self._guard,
            )
            for recipe in options.recipes
        }
        # Reused for every poll: creating a client takes longer than a request.
        self._registry = MlflowRegistry(options.mlflow_url, timeout_seconds=LOOK_SECONDS)
        self._client = httpx.Client(timeout=LOOK_SECONDS, trust_env=False)
        self._to_train: list[ManagedProcess] = []
        self._training: ManagedProcess | None = None
        self._registry_responds = False
        self._ready = False
        self._running: list[ManagedProcess] = []
        self._started: dict[str, float] = {}
        self._early_ends: dict[str, int] = {}
        self._restart_at: dict[str, float] = {}

    def run(self, on_ready: Callable[[bool], None]) -> None:
        """Start everything, call `on_ready` once predictions are possible, and run until a signal stops it.

        `on_ready` receives whether the registry responds: the API may serve from its cache earlier.

        Raises:
            StackError: a port is in use, a process does not start, or the first training fails.
        """
        handlers = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            with self._registry, self._client:
                if ended := end_orphans(self._home.groups_file, self._home.root):
                    processes = "process" if ended == 1 else "processes"
                    self._echo(f"Ended {ended} {processes} that an earlier start on {self._home.root} left behind.")
                self._guard.start()
                self._start_and_watch(on_ready)
        finally:
            self._stop()
            self._guard.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _start_and_watch(self, on_ready: Callable[[bool], None]) -> None:
        for host, port, option in (
            ("127.0.0.1", self._options.mlflow_port, "--mlflow-port"),
            (self._options.host, self._options.port, "--port"),
        ):
            _check_port(host, port, option)
        is_new = not self._options.has_own_registry and not self._home.mlflow_database.exists()
        # An earlier release signed nothing: its versions are signed before the API trusts the keys.
        is_unsigned = not is_new and not self._home.trusted_keys.exists()
        self._start_servers(is_new=is_new, is_unsigned=is_unsigned)
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            self._keep_running()
            self._train()
            if not self._registry_responds and (missing := self._without_production()) is not None:
                self._registry_responds = True
                self._use_registry(missing, is_new=is_new, is_unsigned=is_unsigned)
            if not self._ready:
                if self._is_ready():
                    self._ready = True
                    on_ready(self._registry_responds)
                    if self._training is not None and self._training.exit_code is None:
                        self._echo(f"{self._training.name} continues, such as with plots; its output follows.\n")
                elif time.monotonic() > deadline:
                    raise StackError(f"no model is served after {START_SECONDS:.0f} s; see {self._home.logs}")
            time.sleep(POLL_SECONDS)

    def _start_servers(self, *, is_new: bool, is_unsigned: bool) -> None:
        """Start MLflow, and the API unless it must wait for MLflow."""
        if is_new:
            trust_keys(self._home)
            # No model can be served yet: the training uses the second core until the registry responds.
            self._echo("Starting MLflow and the first training, then the API; this takes a moment.")
            self._start(self._mlflow)
            self._to_train = list(self._trainers.values())
        elif is_unsigned:
            self._echo("Starting MLflow to sign its models, then the API; this happens once.")
            self._start(self._mlflow)
        else:
            if self._options.has_own_registry:
                self._echo("Starting the API and MLflow; models without a Production version are then trained.")
                # The API may serve from its cache, so it starts first, in parallel to the registry.
            self._start(self._api)
            self._upgrade_database()
            self._start(self._mlflow)

    def _use_registry(self, missing: list[str], *, is_new: bool, is_unsigned: bool) -> None:
        """Start what waited for the registry, once it responds."""
        if is_unsigned:
            sign_registry(self._home, self._registry, self._echo)
        if is_new or is_unsigned:
            self._upgrade_database()
            self._start(self._api)
        if not is_new:
            self._to_train = [self._trainers[recipe] for recipe in missing]

    def _upgrade_database(self) -> None:
        from slipway_core.migrations import upgrade  # noqa: PLC0415  # half a second that another start hides

        upgrade(self._options.database_url)

    def _train(self) -> None:
        """Run the requested trainings one after the other."""
        if self._training is not None and self._training.exit_code is not None:
            if self._training.exit_code != 0 and not self._is_ready():
                raise StackError(f"{_lower(self._training.name)} failed; see its output above")
            self._training = None
        if self._training is None and self._to_train:
            self._training = self._to_train.pop(0)
            self._training.start()

    def _start(self, process: ManagedProcess) -> None:
        process.start()
        if process not in self._running:
            self._running.append(process)
        self._started[process.name] = time.monotonic()

    def _keep_running(self) -> None:
        """Restart a server that has exited, after an increasing pause."""
        for process in self._running:
            if process.exit_code is None:
                continue
            now, name = time.monotonic(), process.name
            if name not in self._restart_at:
                early = now - self._started[name] < EARLY_SECONDS
                ends = self._early_ends[name] = self._early_ends.get(name, 0) + 1 if early else 1
                # After the stack has been ready once, restarts are not limited.
                if early and ends >= EARLY_ENDS and not self._ready:
                    if error := process.error():
                        raise StackError(f"{_lower(name)} cannot start: {error}")
                    raise StackError(f"{_lower(name)} exits repeatedly; the end of its log:\n{process.log_tail()}")
                pause = min(FIRST_PAUSE_SECONDS * 2 ** (ends - 1), LONGEST_PAUSE_SECONDS)
                why = process.error() or f"exit code {process.exit_code}"
                self._echo(f"{name} has exited ({why}); restarting it.")
                self._restart_at[name] = now + pause
            elif now >= self._restart_at[name]:
                del self._restart_at[name]
                self._start(process)

    def _without_production(self) -> list[str] | None:
        """Return the recipes whose model has no Production version; None while the registry does not respond."""
        try:
            served = {model.name for model in self._registry.list_models() if PRODUCTION in model.aliases}
        except RegistryError:
            return None
        return [recipe for recipe in self._options.recipes if recipe not in served]

    def _is_ready(self) -> bool:
        try:
            return self._client.get(f"{self._options.api_url}/health/ready").is_success
        except httpx.HTTPError:
            return False

    def _stop(self) -> None:
        processes = [*self._trainers.values(), self._api, self._mlflow]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.wait_ended(deadline)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:  # a second signal: kill at once
            for process in (*self._trainers.values(), self._api, self._mlflow):
                process.kill()
        self._stopping = True


def _lower(name: str) -> str:
    """Return a process's name for use inside a sentence."""
    return name.replace("The ", "the ", 1)


def _check_port(host: str, port: int, option: str) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # without the address that Python adds
        variable = "SLIPWAY" + option.removeprefix("-").replace("-", "_").upper()
        raise StackError(
            f"cannot listen on {host} port {port} ({reason}): choose another with {option} or {variable}"
        ) from error
