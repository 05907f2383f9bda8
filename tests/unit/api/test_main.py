"""The composition root: the commands `serve`, `migrate` and `check`, and their exit codes."""

import logging
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn
from sqlalchemy import inspect

from slipway_api.main import main, sagemaker_variables
from slipway_core.database import connect
from slipway_core.signing.files import create_key
from support.api import SECRET_KEY
from support.servers import free_port

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore the logging that a command configures."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Set the required variables; return the database's URL."""
    url = f"sqlite:///{tmp_path / 'slipway.db'}"
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SLIPWAY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SLIPWAY_JOURNAL_DIR", str(tmp_path / "journal"))
    return url


class FakeServer:
    """Replace uvicorn's server, and record its configuration."""

    served: "list[FakeServer]" = []  # noqa: RUF012  # emptied by each test
    interrupted = False

    def __init__(self, config: uvicorn.Config) -> None:
        self.config = config
        self.address: Any = None
        self.answered_connect = False

    def run(self, sockets: Sequence[socket.socket]) -> None:
        [listener] = sockets
        self.address = listener.getsockname()
        with socket.create_connection(self.address[:2], timeout=5):
            self.answered_connect = True
        FakeServer.served.append(self)
        if FakeServer.interrupted:
            raise KeyboardInterrupt


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[FakeServer]:
    monkeypatch.setattr(uvicorn, "Server", FakeServer)
    monkeypatch.setattr(FakeServer, "served", [])
    return FakeServer.served


def test_migrate_creates_tables_and_is_repeatable(database: str) -> None:
    for _ in range(2):
        main(["migrate"])

    engine = connect(database)
    assert "users" in inspect(engine).get_table_names()
    engine.dispose()


def test_migrate_reports_a_database_that_cannot_be_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nowhere' / 'slipway.db'}")

    with pytest.raises(SystemExit) as ended:
        main(["migrate"])

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("Error: the database of DATABASE_URL cannot be migrated")


def test_check_accepts_valid_settings_and_creates_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check"])

    assert capsys.readouterr().out == "The settings are valid.\n"
    assert list(tmp_path.iterdir()) == []


def test_check_rejects_weak_admin_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", "password1")

    with pytest.raises(SystemExit):
        main(["check"])

    assert capsys.readouterr().err.startswith("Error: SLIPWAY_ADMIN_PASSWORD is too easy to guess")


def test_check_names_each_invalid_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLIPWAY_MAX_ROWS", "many")
    monkeypatch.setenv("SLIPWAY_TOKEN_TTL_SECONDS", "0")

    with pytest.raises(SystemExit) as end:
        main(["check"])

    told = capsys.readouterr().err
    assert end.value.code == 1
    assert told.startswith("Error: SLIPWAY_TOKEN_TTL_SECONDS: ")
    assert "; SLIPWAY_MAX_ROWS: " in told


def test_key_files_are_checked_without_showing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, trusted = tmp_path / "key.pem", tmp_path / "trusted-keys"
    signer = create_key(key)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY_FILE", str(key))
    monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(trusted))
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == 1
    assert "SLIPWAY_TRUSTED_KEYS names a file that cannot be read" in capsys.readouterr().err
    trusted.write_text(f"{signer.public_key('trainer')}\n", encoding="utf-8")
    main(["check"])
    printed = capsys.readouterr()
    assert "signing_key_not_restricted" in printed.out + printed.err
    assert key.read_text(encoding="utf-8").splitlines()[1] not in printed.out + printed.err


def test_serve_listens_on_the_configured_address(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("SLIPWAY_PORT", str(port))

    main(["serve"])

    [server] = servers
    assert server.address == ("127.0.0.1", port)
    assert server.answered_connect
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, timeout=5)


def test_sagemaker_mode_uses_all_addresses_and_a_random_key(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("SLIPWAY_HOST", "127.0.0.1")
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", str(port))

    main(["sagemaker"])

    [server] = servers
    assert server.address == (EVERY_ADDRESS, port)
    assert server.config.app.app.state.tokenless == {"/ping", "/invocations"}  # type: ignore[union-attr]


def test_sagemaker_mode_uses_port_8080_and_the_configured_key() -> None:
    environment = {"SECRET_KEY": SECRET_KEY}

    assert sagemaker_variables(environment) == {"SLIPWAY_HOST": EVERY_ADDRESS, "SLIPWAY_PORT": "8080"}
    assert sagemaker_variables({}).keys() == {"SLIPWAY_HOST", "SLIPWAY_PORT", "SECRET_KEY"}


def test_serve_requires_a_token_by_default(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "0")

    main(["serve"])

    assert servers[0].config.app.app.state.tokenless == frozenset()  # type: ignore[union-attr]


def test_serve_sets_the_drain_time_and_hides_the_server_header(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "0")

    main(["serve"])

    config = servers[0].config
    assert config.timeout_graceful_shutdown == 10
    assert config.server_header is False


def test_serve_listens_on_ipv6(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    monkeypatch.setenv("SLIPWAY_HOST", "::1")
    monkeypatch.setenv("SLIPWAY_PORT", "0")

    main(["serve"])

    assert servers[0].address[0] == "::1"


def test_interrupt_exits_normally(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "0")
    monkeypatch.setattr(FakeServer, "interrupted", True)

    with pytest.raises(SystemExit) as ended:
        main(["serve"])

    assert ended.value.code == 0


def test_port_in_use_error_is_one_sentence(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SLIPWAY_PORT", str(port))
        with pytest.raises(SystemExit) as ended:
            main(["serve"])

    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"Error: cannot listen on 127.0.0.1 port {port} (Address already in use): set SLIPWAY_HOST and SLIPWAY_PORT\n"
    )
    assert servers == []


@pytest.mark.parametrize("arguments", [[], ["fly"], ["serve", "now"]], ids=str)
def test_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: slipway-api" in capsys.readouterr().err
