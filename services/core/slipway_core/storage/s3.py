"""Files in a bucket of Amazon S3 or of a compatible server.

Keys, region and endpoint come from boto3's usual sources: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION,
AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, profiles and roles. MLFLOW_S3_ENDPOINT_URL, which MLflow uses, is the fallback
for the endpoint.
"""

import builtins
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway_core.atomic_file import atomic_file
from slipway_core.errors import ConfigurationError, StorageError, StorageNotFoundError
from slipway_core.storage.base import Readable, StoredFile, checked_path, checked_prefix
from slipway_core.storage.s3_errors import NO_KEYS, translated_errors

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
# Other servers than Amazon's have one region; requests are still signed with a region's name.
REGION_OF_OTHERS = "us-east-1"
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 3

BUCKET = re.compile(r"[a-zA-Z0-9._-]{1,255}")  # as in botocore


class S3Storage:
    """A storage whose root is a prefix of a bucket's keys. The bucket must exist."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        """Create a client, without connecting.

        Raises:
            ConfigurationError: the bucket or prefix is invalid, or the S3 client is not installed or not configured.
        """
        if not BUCKET.fullmatch(bucket):
            raise ConfigurationError("the location names no bucket: write s3://bucket/prefix")
        self._bucket = bucket
        try:
            root = checked_prefix(prefix).removesuffix("/")
        except StorageError as error:
            raise ConfigurationError(
                f"the prefix after the bucket {bucket} is invalid: write s3://bucket/prefix"
            ) from error
        self._root = f"{root}/" if root else ""
        self._client = _client()

    @property
    def location(self) -> str:
        """The root as a URL, `s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._root}".removesuffix("/")

    def list(self, prefix: str = "") -> builtins.list[StoredFile]:
        """Return the files whose path begins with `prefix`, sorted by path."""
        found: builtins.list[StoredFile] = []
        with translated_errors(self._bucket):
            # A page has 1,000 keys at most.
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root + checked_prefix(prefix)
            )
            for page in pages:
                found += [
                    StoredFile(item["Key"].removeprefix(self._root), int(item["Size"]))
                    for item in page.get("Contents", ())
                    # Consoles mark an empty folder with a key that ends in a slash.
                    if not item["Key"].endswith("/")
                ]
        return sorted(found)

    def fetch(self, path: str, destination: Path) -> None:
        """Download a file to `destination`."""
        key = self._key(path)
        try:
            with translated_errors(self._bucket, path), atomic_file(destination) as out:
                self._client.download_fileobj(self._bucket, key, out)
        except StorageNotFoundError:
            self._check_bucket()
            raise
        except OSError as error:
            raise StorageError(f"{destination.name} cannot be written: {error.strerror}") from error

    def put(self, path: str, source: Path) -> None:
        """Upload a local file to a path, in parts if it is large."""
        key = self._key(path)
        try:
            with source.open("rb") as given, translated_errors(self._bucket, path):
                self._client.upload_fileobj(given, self._bucket, key)
        except OSError as error:
            raise StorageError(f"{source.name} cannot be read: {error.strerror}") from error

    def delete(self, path: str) -> None:
        """Remove a file if it exists."""
        try:
            with translated_errors(self._bucket, path):
                self._client.delete_object(Bucket=self._bucket, Key=self._key(path))
        except StorageNotFoundError:
            self._check_bucket()

    def exists(self, path: str) -> bool:
        """Return whether the path is a file."""
        try:
            with translated_errors(self._bucket, path):
                self._client.head_object(Bucket=self._bucket, Key=self._key(path))
        except StorageNotFoundError:
            self._check_bucket()
            return False
        return True

    def _key(self, path: str) -> str:
        return self._root + checked_path(path)

    @contextmanager
    def reading(self, path: str) -> Iterator[tuple[int, Readable]]:
        """Yield a file's size in bytes and its content, to read it without a local copy.

        Raises:
            StorageError: as `fetch`, also while the block reads the content.
        """
        key = self._key(path)
        try:
            with translated_errors(self._bucket, path):
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                try:
                    yield int(answer["ContentLength"]), answer["Body"]
                finally:
                    answer["Body"].close()
        except StorageNotFoundError:
            self._check_bucket()
            raise

    def put_content(self, path: str, content: Readable) -> None:
        """Store content under a path completely or not at all. A few parts of 8 MiB are in memory at a time.

        Raises:
            StorageError: as `put`. Errors of reading the content are passed on, and nothing is stored.
        """
        with translated_errors(self._bucket, path):
            self._client.upload_fileobj(content, self._bucket, self._key(path))

    def make_bucket(self) -> None:
        """Create the bucket if it does not exist."""
        try:
            self._check_bucket()
        except StorageNotFoundError:
            with translated_errors(self._bucket):
                self._client.create_bucket(Bucket=self._bucket)

    def _check_bucket(self) -> None:
        """Raise StorageNotFoundError if the bucket is missing; S3's response for a file may not say so."""
        with translated_errors(self._bucket):
            self._client.head_bucket(Bucket=self._bucket)


def _client() -> Any:  # noqa: ANN401  # boto3 has no types
    """Return boto3's client for S3.

    Raises:
        ConfigurationError: boto3 is not installed or not configured correctly.
    """
    try:
        import boto3  # noqa: PLC0415  # it costs a third of a second, and few need it
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, PartialCredentialsError  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError("the S3 client is not installed: run `pip install 'slipway[trainer]'`") from error
    endpoint = next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # Other servers than Amazon's may not support buckets as host names, or Amazon's newer checksums.
        s3={"addressing_style": "path"} if endpoint else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        # The default session is shared and not thread-safe.
        session = boto3.session.Session()
        region = session.region_name or (REGION_OF_OTHERS if endpoint else None)
        return session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
    except PartialCredentialsError as error:
        raise ConfigurationError(NO_KEYS) from error
    except BotoCoreError as error:
        raise ConfigurationError(
            f"the S3 client cannot be created ({type(error).__name__}): check AWS_PROFILE and AWS_DEFAULT_REGION"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            "the endpoint of S3 is not an address: write http://host:9000 in AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL"
        ) from error
