"""Tars are read in little memory, with any headers."""

import io
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest

from slipway_cli.tar_streams.streams import drain
from slipway_cli.tar_streams.tars import DAMAGE, MAX_HEADER_BYTES, TarOut, reading_tar, writing_tar

MIB = 1 << 20
LIMIT_BYTES = 4 * MIB
LARGE_BYTES = 32 * MIB


class Zeros:
    """A head, then zeros: a large tar that takes no memory of its own."""

    def __init__(self, head: bytes, zeros: int) -> None:
        self._head = io.BytesIO(head)
        self._left = zeros

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0
        if head := self._head.read(size):
            return head
        given = min(size, self._left)
        self._left -= given
        return bytes(given)


def header(kind: bytes, size: int = 0, name: str = "name", link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.GNU_FORMAT)


def record(keyword: str, value: str) -> bytes:
    rest = f" {keyword}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(*records: bytes) -> bytes:
    body = b"".join(records)
    return header(tarfile.XHDTYPE, len(body)) + body + bytes(-len(body) % 512)


def read_all(stream: Zeros | io.BytesIO) -> list[tuple[str, int]]:
    """Read every file until the tar ends or is rejected."""
    found = []
    with reading_tar(stream) as tar:
        while True:
            file = tar.next()
            found.append((file.name, file.size_bytes))
            drain(file.content)


@pytest.mark.parametrize(
    ("head", "zeros"),
    [
        pytest.param(header(tarfile.XHDTYPE, LARGE_BYTES), LARGE_BYTES, id="a large pax header"),
        pytest.param(header(tarfile.XGLTYPE, LARGE_BYTES), LARGE_BYTES, id="a large global pax header"),
        pytest.param(header(tarfile.SOLARIS_XHDTYPE, LARGE_BYTES), LARGE_BYTES, id="a large Solaris header"),
        pytest.param(header(tarfile.GNUTYPE_LONGNAME, LARGE_BYTES), LARGE_BYTES, id="a large GNU name"),
        pytest.param(header(tarfile.GNUTYPE_LONGLINK, LARGE_BYTES), LARGE_BYTES, id="a large GNU link"),
        pytest.param(header(tarfile.XHDTYPE, 1 << 62), 0, id="a pax header of an incredible size"),
        pytest.param(header(tarfile.XHDTYPE, MAX_HEADER_BYTES + 1), LARGE_BYTES, id="a pax header over the limit"),
        pytest.param(header(tarfile.REGTYPE, 1 << 62), LARGE_BYTES, id="a file of an incredible size"),
        pytest.param(pax(record("size", str(1 << 62))) + header(tarfile.REGTYPE), LARGE_BYTES, id="a size by pax"),
        pytest.param(pax(record("size", "-1")) + header(tarfile.REGTYPE), 1024, id="a negative size"),
        pytest.param(pax(record("size", "9" * 5_000)) + header(tarfile.REGTYPE), 1024, id="a size of 5,000 digits"),
        pytest.param(pax(record("path", "a")) * 20_000, 1024, id="many pax headers"),
        pytest.param((header(tarfile.GNUTYPE_LONGNAME, 2) + b"a" + bytes(511)) * 20_000, 1024, id="many GNU names"),
        pytest.param(header(tarfile.GNUTYPE_SPARSE, 0), LARGE_BYTES, id="a GNU sparse file"),
        pytest.param(
            pax(record("GNU.sparse.major", "1"), record("GNU.sparse.minor", "0")) + header(tarfile.REGTYPE, 512),
            LARGE_BYTES,
            id="a sparse file by pax",
        ),
        pytest.param(pax(b"0 path=a\n"), 1024, id="a record of no length"),
        pytest.param(pax(b"-5 path=a\n"), 1024, id="a record of a negative length"),
        pytest.param(pax(b"-2 a=a\n\n\n"), 1024, id="a record of a negative length that fits"),
        pytest.param(pax(b"99999 path=a\n"), 1024, id="a record longer than its header"),
        pytest.param(pax(b"path"), 1024, id="no record"),
        pytest.param(pax(record("path", "a"))[:512], 0, id="a pax header that ends early"),
        pytest.param(header(tarfile.SYMTYPE, link="/etc/passwd"), 1024, id="a link"),
        pytest.param(header(tarfile.LNKTYPE, link="/etc/passwd"), 1024, id="a hard link"),
        pytest.param(header(tarfile.DIRTYPE), 1024, id="a folder"),
        pytest.param(header(tarfile.CHRTYPE), 1024, id="a device"),
        pytest.param(header(b"Z"), 1024, id="an unknown kind"),
        pytest.param(b"", 1024, id="nothing"),
        pytest.param(b"", 0, id="no byte"),
    ],
)
def test_hostile_tar_is_rejected_in_little_memory(head: bytes, zeros: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DAMAGE):
            read_all(Zeros(head, zeros))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < LIMIT_BYTES


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["a", "ümlaut", "long/" * 200 + "name", "n" * 99, "n" * 100, "n" * 101])
def test_tar_written_by_tarfile_is_read(form: int, name: str) -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as tar:
        for size in (0, 1, 511, 512, 513, 100_000):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    written.seek(0)

    with reading_tar(written) as found:
        for size in (0, 1, 511, 512, 513, 100_000):
            file = found.next()
            assert (file.name, file.size_bytes) == (name, size)
            if size != 513:  # an unread file is skipped
                assert file.content.read() == bytes(size)


def test_a_size_over_8_gib_is_read() -> None:
    written = io.BytesIO()
    info = tarfile.TarInfo("large")
    info.size = 9 << 30
    written.write(info.tobuf(tarfile.PAX_FORMAT))
    written.seek(0)

    with reading_tar(written) as found:
        assert found.next().size_bytes == 9 << 30


def write(add: Callable[[TarOut], None]) -> bytes:
    out = io.BytesIO()
    with writing_tar(out) as tar:
        add(tar)
    return out.getvalue()


@pytest.mark.parametrize("end", [1, 512, 700, 1_100])
def test_truncated_content_raises(end: int) -> None:
    whole = write(lambda tar: tar.add("name", 1_000, io.BytesIO(bytes(1_000))))
    with pytest.raises(DAMAGE), reading_tar(io.BytesIO(whole[:end])) as tar:
        tar.next().content.read(2_000)
