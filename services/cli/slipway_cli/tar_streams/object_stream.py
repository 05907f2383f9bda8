"""The format of a stream of objects: the names of its entries, and the counts at its start and end."""

import io

from pydantic import BaseModel

from slipway_cli.tar_streams.tars import TarOut, TarredFile

# Each object is the entry `objects/BUCKET/KEY`.
OBJECTS = "objects/"
TOTAL_FILE, END_FILE = "total.json", "end.json"
MAX_COUNT_BYTES = 4_096


class ObjectCount(BaseModel):
    """A number of files, and their total size in bytes."""

    files: int = 0
    size_bytes: int = 0


def add_count(tar: TarOut, name: str, count: ObjectCount) -> None:
    """Write a count into a stream."""
    content = count.model_dump_json().encode()
    tar.add(name, len(content), io.BytesIO(content))


def read_count(file: TarredFile) -> ObjectCount:
    """Return the count in a file of a stream.

    Raises:
        ValueError: the content is not a count.
        EOFError: the file is too large to be a count.
    """
    if file.size_bytes > MAX_COUNT_BYTES:
        raise EOFError
    return ObjectCount.model_validate_json(file.content.read())
