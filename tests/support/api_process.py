"""The API as a process of its own that serves from its cache alone: no registry is there."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.loader import Loader
from slipway_core.migrations import upgrade
from slipway_core.policy import new_key
from slipway_core.registry.memory import InMemoryRegistry
from support.bundles import bundle_files, register, regression_files
from support.servers import answers, free_port, running
from support.waiting import wait_for

ADMIN_PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class ApiProcess:
    """A process that serves `iris`, a classifier, and `demand`, a regressor."""

    port: int
    log: Path

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def log_in(self) -> str:
        """Return a token of the administrator, who is made a moment after the first model is there."""

        def token() -> str:
            form = {"username": "admin", "password": ADMIN_PASSWORD}
            answer = httpx.post(f"{self.url}/token", data=form, timeout=30)
            return str(answer.json()["access_token"]) if answer.is_success else ""

        return wait_for(token, seconds=30, what="the administrator")


def fill_cache(folder: Path) -> None:
    """Leave two models in a cache, as a process that served them would."""
    registry = InMemoryRegistry()
    loader = Loader(registry, BundleCache(folder))
    for name, files in (("iris", bundle_files()), ("demand", regression_files())):
        loader.remember(loader.load(registry.get_version(name, register(registry, files, name))))


@contextmanager
def api_process(
    folder: Path, command: str = "serve", *, environment: Mapping[str, str | None] | None = None
) -> Iterator[ApiProcess]:
    """Run the API from a command until the block ends.

    Args:
        folder: where its database, cache and log lie.
        command: of `slipway-api`.
        environment: variables that differ from the defaults below; None leaves one out.
    """
    port = free_port()
    database, cache, log = folder / "slipway.db", folder / "cache", folder / "api.log"
    upgrade(f"sqlite:///{database}")
    fill_cache(cache)
    variables: dict[str, str | None] = {
        "SECRET_KEY": new_key(),
        "DATABASE_URL": f"sqlite:///{database}",
        # Nothing listens there.
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "SLIPWAY_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "SLIPWAY_CACHE_DIR": str(cache),
        "SLIPWAY_PORT": str(port),
        **(environment or {}),
    }
    given = {name: value for name, value in variables.items() if value is not None}
    port = int(given.get("SAGEMAKER_BIND_TO_PORT", given.get("SLIPWAY_PORT", port)))
    with running([sys.executable, "-m", "slipway_api", command], folder=folder, log=log, environment=given) as process:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(f"http://127.0.0.1:{port}/health/ready")

        wait_for(is_ready, seconds=60, what="the API")
        yield ApiProcess(port, log)
