"""A real S3 server for tests, on loopback: rclone serves a folder, in which each folder is a bucket."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import pytest

from support.servers import free_port, running
from support.waiting import wait_for

ACCESS_KEY = "slipway-access-key"
SECRET_KEY = "slipway-secret-key"


@dataclass(frozen=True)
class S3Server:
    """A server that runs, with the one pair of keys that it knows.

    Attributes:
        folder: what is served: a bucket is a folder in it, an object a file below.
    """

    url: str
    access_key: str
    secret_key: str
    folder: Path

    def make_bucket(self, name: str) -> Path:
        """Make an empty bucket; return the folder that its objects are files of.

        The server keeps listings, so it does not see what is put into the folder past it.
        """
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        client.create_bucket(Bucket=name)
        client.close()
        return self.folder / name

    def environment(self) -> dict[str, str]:
        """Return the variables by which boto3 and MLflow reach the server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "MLFLOW_S3_ENDPOINT_URL": self.url,
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server that keeps everything below a folder; what is in `buckets` there is served from the start.

    The test is skipped where rclone is not installed.
    """
    rclone = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if rclone is None:
        pytest.skip("rclone is not installed: there is no S3 server without it")
    buckets, own = folder / "buckets", folder / "rclone"
    for part in (buckets, own):
        part.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # Listings are cached, as by default: with --dir-cache-time=0s uploads hang now and then (rclone 1.75.2).
    command = [
        rclone,
        "serve",
        "s3",
        f"--addr=127.0.0.1:{port}",
        f"--auth-key={ACCESS_KEY},{SECRET_KEY}",
        f"--config={own / 'rclone.conf'}",
        f"--cache-dir={own}",
        "--quiet",
        str(buckets),
    ]
    # An empty configuration, not that of the person who runs the tests.
    (own / "rclone.conf").touch()
    log = own / "rclone.log"
    url = f"http://127.0.0.1:{port}"
    with running(command, folder=own, log=log) as process:

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                # Without keys it refuses, which is an answer.
                return httpx.get(url, timeout=2).is_client_error
            except httpx.HTTPError:
                return False

        wait_for(is_up, seconds=30, what="the S3 server")
        yield S3Server(url, ACCESS_KEY, SECRET_KEY, buckets)
