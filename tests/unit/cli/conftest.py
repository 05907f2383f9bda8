"""Fixtures of the command line's tests."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.docker import FakeDocker, fake_docker


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A stack whose services all run; the working directory is its folder."""
    return fake_docker(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an embedded stack, which does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which a program listens without responding."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
