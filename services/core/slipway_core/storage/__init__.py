"""Files by path, in a folder or in an S3 bucket, behind one interface."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from slipway_core.errors import ConfigurationError
from slipway_core.storage.base import Readable, Storage, StoredFile
from slipway_core.storage.local import LocalStorage

__all__ = ["Readable", "Storage", "StoredFile", "open_storage"]


def open_storage(location: str) -> Storage:
    """Return the storage at a location, without connecting.

    Args:
        location: `s3://bucket/prefix`, a folder, or `file:///folder`. A relative folder is resolved against the
            working directory.

    Raises:
        ConfigurationError: the location has another form, or the S3 client is not installed or not configured.
    """
    if location.startswith("s3://"):
        # Imported here because it imports botocore, which local storages do not need.
        from slipway_core.storage.s3 import S3Storage  # noqa: PLC0415

        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return S3Storage(bucket, prefix)
    if location.startswith("file://"):
        parts = urlsplit(location)
        if parts.netloc not in {"", "localhost"} or not parts.path:
            raise ConfigurationError("a file:// location must be a folder of this machine: write file:///folder")
        return LocalStorage(Path(unquote(parts.path)))
    scheme, separator, _ = location.partition("://")
    if separator:
        raise ConfigurationError(f"{scheme}:// is not supported: write s3://bucket/prefix or the path of a folder")
    if not location:
        raise ConfigurationError("the location is empty: write s3://bucket/prefix or the path of a folder")
    return LocalStorage(Path(location))
