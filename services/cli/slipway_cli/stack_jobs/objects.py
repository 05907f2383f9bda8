"""Export and import the files of the object store as a stream: two jobs that run next to the store and its keys.

Both streams are tars. The export starts with the total size, and both streams end with the number of their files, so
that a truncated stream is detected.
"""

from collections.abc import Sequence

from slipway_cli.errors import BackupError
from slipway_cli.tar_streams.object_stream import END_FILE, OBJECTS, TOTAL_FILE, ObjectCount, add_count, read_count
from slipway_cli.tar_streams.streams import Counted, Writable
from slipway_cli.tar_streams.tars import DAMAGE, reading_tar, writing_tar
from slipway_core.errors import StorageNotFoundError
from slipway_core.storage import Readable
from slipway_core.storage.s3 import S3Storage


def send(locations: Sequence[str], out: Writable) -> None:
    """Write every file of the locations to a stream, each as `objects/BUCKET/KEY`.

    A file that is removed in the meantime is skipped.

    Args:
        locations: buckets, or `bucket/prefix`.
        out: the stream.

    Raises:
        SlipwayError: the object store cannot be read.
        OSError: the reader has closed the stream.
    """
    stores = [(location, _opened(location)) for location in locations]
    listings = [(location, store, store.list()) for location, store in stores]
    sizes = [file.size_bytes for _, _, files in listings for file in files]
    sent = ObjectCount()
    with writing_tar(out) as tar:
        add_count(tar, TOTAL_FILE, ObjectCount(files=len(sizes), size_bytes=sum(sizes)))
        for location, store, files in listings:
            for file in files:
                try:
                    with store.reading(file.path) as (size_bytes, content):
                        tar.add(f"{OBJECTS}{location}/{file.path}", size_bytes, content)
                except StorageNotFoundError:
                    continue
                sent = ObjectCount(files=sent.files + 1, size_bytes=sent.size_bytes + size_bytes)
        add_count(tar, END_FILE, sent)


def receive(locations: Sequence[str], stream: Readable) -> None:
    """Store every file of a stream in the object store. Other files in the store are not changed.

    Args:
        locations: buckets, or `bucket/prefix`. Missing buckets are created, and files outside are rejected.
        stream: a stream as `send` writes it, without the total size.

    Raises:
        SlipwayError: the object store cannot be written, or the stream is incomplete. Stored files are kept.
    """
    stores = {location: _opened(location) for location in locations}
    for store in stores.values():
        store.make_bucket()
    count = 0
    try:
        with reading_tar(stream) as tar:
            while (file := tar.next()).name != END_FILE:
                location = next((one for one in stores if file.name.startswith(f"{OBJECTS}{one}/")), None)
                if location is None:
                    raise BackupError(f"{file.name!r} is outside the backup's locations: do not use this file")
                # The object of a tar's file claims to be seekable, which a stream is not.
                content = Counted(file.content)
                stores[location].put_content(file.name.removeprefix(f"{OBJECTS}{location}/"), content)
                count += 1
            if read_count(file).files != count:
                raise EOFError
    except DAMAGE as error:
        raise BackupError("the stream of objects is incomplete: run the restore again") from error


def _opened(location: str) -> S3Storage:
    bucket, _, prefix = location.partition("/")
    return S3Storage(bucket, prefix)
