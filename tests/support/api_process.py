"""The API as a process, serving a small iris from its cache: nothing else runs but a database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from slipway_api.serving.bundle_cache import BundleCache, LastServed
from slipway_core.bundle import MANIFEST_FILE, digest
from slipway_core.policy import new_key
from support.bundles import bundle_files
from support.servers import answers, free_port, running
from support.waiting import wait_for

PROGRAM = [sys.executable, "-m", "slipway_api"]
PASSWORD = "correct horse battery"


@dataclass
class ApiProcess:
    """A service that runs, and its administrator's token."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def log_in(self, name: str = "admin", password: str = PASSWORD) -> str:
        answer = httpx.post(f"{self.url}/token", data={"username": name, "password": password}, timeout=30)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def call(self, method: str, path: str, **request: object) -> httpx.Response:
        """Call it as the administrator, over a connection of its own."""
        return httpx.request(method, self.url + path, headers=self.headers, timeout=30, **request)  # type: ignore[arg-type]

    def can_log_in(self) -> bool:
        try:
            self.token = self.log_in()
        except httpx.HTTPError:
            return False
        return True


def seed_cache(folder: Path, name: str = "iris", version: str = "1") -> None:
    """Make a cache look as if this model had been served before."""
    cache, files = BundleCache(folder), bundle_files(name)
    sha256 = digest(files[MANIFEST_FILE])
    with cache.adding(cache.folder(name, version, sha256)) as partial:
        for file, content in files.items():
            (partial / file).write_bytes(content)
    cache.remember(LastServed(name=name, version=version, manifest_sha256=sha256, run_id="0" * 32, description="small"))


@contextmanager
def api_process(
    folder: Path, database_url: str, *arguments: str, secret_key: str = "", **variables: str
) -> Iterator[ApiProcess]:
    """Run `slipway-api serve` until it is ready and its administrator can log in; end it after the block.

    Args:
        folder: its cache and log; another start in it is a restart.
        database_url: its tables are made.
        arguments: of `serve`.
        secret_key: by default a new one.
        variables: of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "cache").exists():
        seed_cache(folder / "cache")
    port = free_port()
    environment = {
        "SECRET_KEY": secret_key or new_key(),
        "DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "SLIPWAY_ADMIN_PASSWORD": PASSWORD,
        "SLIPWAY_CACHE_DIR": str(folder / "cache"),
        "SLIPWAY_PORT": str(port),
        **variables,
    }
    migrated = subprocess.run(
        [*PROGRAM, "migrate"], cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False
    )
    assert migrated.returncode == 0, migrated.stderr.decode()
    log = folder / "api.log"
    with running([*PROGRAM, "serve", *arguments], folder=folder, log=log, environment=environment) as process:
        api = ApiProcess(process, f"http://127.0.0.1:{port}", log)

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(f"{api.url}/health/ready")

        wait_for(is_ready, seconds=60, what="the API")
        wait_for(api.can_log_in, seconds=30, what="a login")
        yield api
