"""The embedded stack's addresses, and what it refuses before it starts anything."""

import signal
from pathlib import Path

import pytest

from slipway_cli.embedded.environments import Environments
from slipway_cli.embedded.home import Home
from slipway_cli.embedded.stack import Stack, StackOptions
from slipway_cli.errors import StackError
from support.servers import free_port


def options(*, host: str = "127.0.0.1", port: int = 8000, mlflow_port: int = 5000) -> StackOptions:
    return StackOptions(
        host=host,
        port=port,
        mlflow_port=mlflow_port,
        recipes=("iris",),
        default_model="iris",
        database_url="sqlite://",
        trainer_command=("false",),
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("localhost", "http://localhost:8080"),
        ("192.168.1.5", "http://192.168.1.5:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("fe80::1", "http://[fe80::1]:8080"),
    ],
)
def test_api_address_is_reachable_from_this_machine(host: str, url: str) -> None:
    assert options(host=host, port=8080).api_url == url


def test_mlflow_is_on_loopback_wherever_the_api_listens() -> None:
    assert options(host="0.0.0.0", mlflow_port=5001).mlflow_url == "http://127.0.0.1:5001"  # noqa: S104


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_port_in_use_is_reported_before_anything_starts(tmp_path: Path, taken_port: int, option: str) -> None:
    other = free_port()
    wanted = options(port=taken_port, mlflow_port=other)
    if option == "--mlflow-port":
        wanted = options(port=other, mlflow_port=taken_port)
    home = Home(tmp_path / "home")
    home.make()
    told: list[str] = []

    with pytest.raises(StackError, match=rf"port {taken_port} \(.+\): choose another with {option}"):
        Stack(wanted, home, Environments(), told.append).run(lambda _answers: pytest.fail("it cannot be ready"))

    assert told == []
    assert list(home.logs.iterdir()) == []


def test_host_of_another_machine_is_reported(tmp_path: Path) -> None:
    wanted = options(host="192.0.2.1", port=free_port(), mlflow_port=free_port())
    home = Home(tmp_path / "home")
    home.make()

    with pytest.raises(StackError, match=r"cannot listen on 192\.0\.2\.1 port \d+ \(.+\)"):
        Stack(wanted, home, Environments(), lambda _line: None).run(lambda _answers: None)


def test_signal_handlers_are_restored(tmp_path: Path, taken_port: int) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    home = Home(tmp_path / "home")
    home.make()

    with pytest.raises(StackError):
        Stack(options(mlflow_port=taken_port), home, Environments(), lambda _line: None).run(lambda _answers: None)

    assert [signal.getsignal(number) for number in numbers] == before
