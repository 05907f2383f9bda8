"""The API as a separate process that serves from its cache, with only a database running beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_api.serving.model_ref import ModelRef
from slipway_core.policy import new_key
from slipway_core.registry.base import candidate_alias
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register, regression_files
from support.servers import free_port, running, wait_until_ready
from support.serving import no_trial
from support.waiting import wait_for

PROGRAM = [sys.executable, "-m", "slipway_api"]
PASSWORD = "correct horse battery"


@dataclass
class ApiProcess:
    """A process that serves `iris`, a classifier, and `demand`, a regressor, and its administrator's token."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    token: str = ""

    @property
    def address(self) -> str:
        """The host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def log_in(self, name: str = "admin", password: str = PASSWORD) -> str:
        """Return a token."""
        answer = httpx.post(f"{self.url}/token", data={"username": name, "password": password}, timeout=30)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def call(self, method: str, path: str, **request: object) -> httpx.Response:
        """Send a request as the administrator, over a new connection."""
        return httpx.request(method, self.url + path, headers=self.headers, timeout=30, **request)  # type: ignore[arg-type]

    def can_log_in(self) -> bool:
        """Return whether the administrator, created just after the first model is loaded, has a token now."""
        try:
            self.token = self.log_in()
        except httpx.HTTPError:
            return False
        return True


def fill_cache(folder: Path, candidate: str | None = None) -> None:
    """Put two models, and a candidate of iris, into a cache, as if a process had served them."""
    registry = InMemoryRegistry()
    loader = Loader(registry, BundleCache(folder), trial=no_trial)
    for name, files in (("iris", bundle_files()), ("demand", regression_files())):
        loaded = loader.load(registry.get_version(name, register(registry, files, name)))
        loader.remember(ModelRef(name), loaded)
        if name == "iris" and candidate is not None:
            loader.remember(ModelRef(name, alias=candidate_alias(candidate)), loaded)


@contextmanager
def api_process(
    folder: Path, *arguments: str, environment: Mapping[str, str | None] | None = None
) -> Iterator[ApiProcess]:
    """Run `slipway-api` until it is ready and its administrator can log in; stop it after the block.

    Args:
        folder: its database, cache, journal and log; another start in the same folder is a restart.
        arguments: the arguments of `slipway-api`; `serve` by default.
        environment: variables that differ from the defaults below; None removes a variable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache, log = folder / "cache", folder / "api.log"
    if not cache.exists():
        fill_cache(cache)
    variables: dict[str, str | None] = {
        "SECRET_KEY": new_key(),
        "DATABASE_URL": f"sqlite:///{folder / 'slipway.db'}",
        # No server listens on this port.
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "SLIPWAY_ADMIN_PASSWORD": PASSWORD,
        "SLIPWAY_CACHE_DIR": str(cache),
        "SLIPWAY_JOURNAL_DIR": str(folder / "journal"),
        "SLIPWAY_PORT": str(free_port()),
        **(environment or {}),
    }
    given = {name: value for name, value in variables.items() if value is not None}
    port = int(given["SAGEMAKER_BIND_TO_PORT"] if "SAGEMAKER_BIND_TO_PORT" in given else given["SLIPWAY_PORT"])
    migrated = subprocess.run(
        [*PROGRAM, "migrate"],
        cwd=folder,
        env={**os.environ, "SECRET_KEY": new_key(), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr
    command = [*PROGRAM, *(arguments or ("serve",))]
    with running(command, folder=folder, log=log, environment=given) as process:
        api = ApiProcess(process, port, log)
        wait_until_ready(process, f"{api.url}/health/ready", log=log, seconds=60, what="the API")
        wait_for(api.can_log_in, seconds=30, what="the administrator")
        yield api
