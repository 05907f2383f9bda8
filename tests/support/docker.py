"""A compose stack without Docker: a folder, a fake `docker` on the PATH, and a record of its calls."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_docker.py")
STACK = ("api", "minio", "mlflow", "postgres")
CONFIG: dict[str, Any] = {
    "services": {
        **{name: {} for name in ("api", "minio", "postgres")},
        "init": {"command": ["init", "--bucket=mlflow", "--bucket=data", "--recipe=iris"]},
        "mlflow": {"environment": {"MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts"}},
    }
}


@dataclass(frozen=True)
class FakeDocker:
    """The fake `docker`, controlled by files in its state folder.

    Attributes:
        project: the folder with the docker-compose.yml.
    """

    project: Path
    state: Path

    def configure(self, config: dict[str, Any]) -> None:
        (self.state / "config.json").write_text(json.dumps(config), encoding="utf-8")

    def fail(self, beginning: str, said: str) -> None:
        """Fail calls that begin with this text, with this message on standard error."""
        self.fail_all({beginning: said})

    def fail_all(self, failures: dict[str, str]) -> None:
        """Fail several kinds of calls: the message by the beginning of the call."""
        (self.state / "failures.json").write_text(json.dumps(failures), encoding="utf-8")

    def waits(self) -> bool:
        """Return whether a call is configured to wait."""
        return "wait" in json.loads((self.state / "failures.json").read_text(encoding="utf-8")).values()

    def open_gate(self) -> None:
        """Release the waiting call."""
        (self.state / "gate").write_bytes(b"")

    def run_services(self, *services: str) -> None:
        (self.state / "running").write_text("\n".join(services), encoding="utf-8")

    def tell_containers(self, *told: dict[str, Any]) -> None:
        """Set the containers, each by its differences from one that runs and is healthy."""
        well = {"State": "running", "Health": "healthy", "ExitCode": 0, "Publishers": []}
        lines = "".join(json.dumps(well | one) + "\n" for one in told)
        (self.state / "containers.jsonl").write_text(lines, encoding="utf-8")

    def running(self) -> set[str]:
        return set((self.state / "running").read_text(encoding="utf-8").split())

    def calls(self) -> list[str]:
        """Return the calls, such as `stop mlflow api`."""
        path = self.state / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line.partition(": ")[2] for line in lines]


def program(folder: Path, name: str, *command: str) -> None:
    """Write a program into a folder that runs a command with the arguments it receives."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def fake_docker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Create a stack whose services all run, in a folder that becomes the working directory."""
    docker = FakeDocker(folder / "project", folder / "docker-state")
    for made in (docker.project, docker.state):
        made.mkdir()
    (docker.project / "docker-compose.yml").touch()
    docker.configure(CONFIG)
    docker.run_services(*STACK)
    (docker.state / "failures.json").write_text("{}", encoding="utf-8")
    docker.tell_containers()
    os.mkfifo(docker.state / "gate")
    program(folder / "bin", "docker", sys.executable, str(FAKE), str(docker.state))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    # The developer may run an embedded stack.
    monkeypatch.setenv("SLIPWAY_HOME", str(folder / "home-of-no-stack"))
    monkeypatch.chdir(docker.project)
    return docker
