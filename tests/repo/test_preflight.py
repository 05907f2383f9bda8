"""The checks of `make up` before it starts anything, with a Docker that answers from files."""

import os
import subprocess
from pathlib import Path

import pytest

from support.compose import ROOT

CONFIG = """\
name: slipway
services:
  api:
    image: slipway-api:local
    ports:
      - mode: ingress
        target: 8000
        published: "8000"
        protocol: tcp
  grafana:
    image: grafana/grafana:13.1.1
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 3000
        published: "{grafana}"
        protocol: tcp
  secrets:
    image: slipway-trainer:local
"""
DOCKER = """\
#!/bin/sh
case "$*" in
  "compose config") cat "$FAKE/config" ;;
  "ps "*working_dir*) cat "$FAKE/clones" ;;
  "ps --quiet "*) cat "$FAKE/containers" ;;
  "inspect "*.HostPort*) cat "$FAKE/ports" ;;
  "run "*)
    while read -r port said; do
      case "$*" in *":$port:9 "*) echo "$said" >&2; exit 125 ;; esac
    done <"$FAKE/taken"
    case "$*" in *" slipway-trainer:local") exit 0 ;; *) echo "no such image" >&2; exit 125 ;; esac ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""


def preflight(
    folder: Path, *, taken: str = "", ports: str = "", clones: str = "", grafana: int = 3000
) -> "subprocess.CompletedProcess[str]":
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    (folder / "config").write_text(CONFIG.format(grafana=grafana))
    containers = "e5c0ffee" if ports else ""
    for name, content in {"taken": taken, "ports": ports, "containers": containers, "clones": clones}.items():
        (folder / name).write_text(content and f"{content}\n")
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FAKE": str(folder)}
    return subprocess.run(
        [ROOT / "services/compose/preflight.sh"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"clones": str(ROOT)},
        {
            "ports": "2999 3000 ",
            "taken": "3000 Bind for 127.0.0.1:3000 failed: port is already allocated",
        },
        {"clones": "/a/folder that is gone"},
    ],
    ids=["nothing runs", "this clone runs", "its own port", "a removed clone"],
)
def test_preflight_accepts(state: dict[str, str], tmp_path: Path) -> None:
    done = preflight(tmp_path, **state)  # type: ignore[arg-type]

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (
            "3000 Bind for 127.0.0.1:3000 failed: port is already allocated",
            "port 3000 on 127.0.0.1 is in use: choose another with SLIPWAY_GRAFANA_PORT in .env",
        ),
        (
            "8000 failed to bind host port 0.0.0.0:8000/tcp: address already in use",
            "port 8000 on 0.0.0.0 is in use: choose another with SLIPWAY_PORT in .env, such as SLIPWAY_PORT=18000.",
        ),
        ("3000 ports are not available: exposing port TCP 127.0.0.1:3000", "port 3000 on 127.0.0.1 is in use"),
        ("8000 permission denied", "port 8000 on 0.0.0.0 cannot be used (permission denied)"),
    ],
)
def test_preflight_names_the_variable_of_a_taken_port(taken: str, message: str, tmp_path: Path) -> None:
    done = preflight(tmp_path, taken=taken)

    assert done.returncode == 1
    assert message in done.stderr
    assert "Nothing was started." in done.stderr


def test_preflight_rejects_one_port_for_two_services(tmp_path: Path) -> None:
    done = preflight(tmp_path, grafana=8000)

    assert done.returncode == 1
    assert "port 8000 is set for two services: choose another with SLIPWAY_GRAFANA_PORT" in done.stderr


def test_preflight_rejects_the_stack_of_another_clone(tmp_path: Path) -> None:
    other = tmp_path / "other clone"
    other.mkdir()
    (other / "docker-compose.yml").touch()

    done = preflight(tmp_path, clones=str(other))

    assert done.returncode == 1
    assert f"the clone in {other} has a stack with the name slipway: set COMPOSE_PROJECT_NAME" in done.stderr
