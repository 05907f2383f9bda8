"""A real S3 server for tests, on loopback: rclone serves a folder, in which each folder is a bucket."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.servers import free_port, running, wait_until_ready

ACCESS_KEY = "slipway-access-key"
SECRET_KEY = "slipway-secret-key"


@dataclass(frozen=True)
class S3Server:
    """A running server, with its only pair of keys.

    Attributes:
        folder: the served folder: each subfolder is a bucket, and each file in it an object.
    """

    url: str
    access_key: str
    secret_key: str
    folder: Path

    def make_bucket(self, name: str) -> Path:
        """Create an empty bucket; return the folder of its objects."""
        bucket = self.folder / name
        bucket.mkdir(exist_ok=True)
        return bucket

    def environment(self) -> dict[str, str]:
        """Return the variables that boto3 and MLflow need to reach the server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "MLFLOW_S3_ENDPOINT_URL": self.url,
        }


@contextmanager
def s3_server(folder: Path, *, port: int | None = None, secret_key: str = SECRET_KEY) -> Iterator[S3Server]:
    """Run a server on a folder, again if it ran before. Skip the test if rclone is not installed.

    Args:
        folder: where to write all files.
        port: the port; by default a free one.
        secret_key: the secret key that it accepts.
    """
    rclone = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if rclone is None:
        pytest.skip("rclone is not installed: the S3 server needs it")
    buckets, own = folder / "buckets", folder / "rclone"
    for part in (buckets, own):
        part.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        rclone,
        "serve",
        "s3",
        f"--addr=127.0.0.1:{port}",
        f"--auth-key={ACCESS_KEY},{secret_key}",
        # A file that a test writes to the folder is visible at once; with 0 s, rclone needs seconds for an object.
        "--dir-cache-time=1ms",
        f"--config={own / 'rclone.conf'}",
        f"--cache-dir={own}",
        "--quiet",
        str(buckets),
    ]
    # Ignore the settings of the person who runs the tests.
    own.joinpath("rclone.conf").touch()
    log = own / "rclone.log"
    url = f"http://127.0.0.1:{port}"

    def refuses() -> bool:
        try:
            # Any response shows that it runs, even one that rejects a request without keys.
            return httpx.get(url, timeout=2).is_client_error
        except httpx.HTTPError:
            return False

    with running(command, folder=own, log=log) as process:
        wait_until_ready(process, refuses, log=log, seconds=30, what="the S3 server")
        yield S3Server(url, ACCESS_KEY, secret_key, buckets)
