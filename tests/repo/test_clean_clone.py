"""The README's first command, in a clean clone with nothing done before."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from support.servers import free_port, running, wait_until_ready
from support.stack import printed_commands

ROOT = Path(__file__).parents[2]
# The installation downloads half a gigabyte where nothing is cached.
INSTALL_SECONDS = 1_200


@pytest.mark.slow
def test_make_demo_serves_a_prediction_from_a_clean_clone(tmp_path: Path) -> None:
    clone, home, log = tmp_path / "clone", tmp_path / "home", tmp_path / "demo.log"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {"HOME": str(home), "SLIPWAY_PORT": str(free_port()), "SLIPWAY_MLFLOW_PORT": str(free_port())}

    with running(["make", "demo"], folder=clone, log=log, environment=environment) as make:
        wait_until_ready(
            make, lambda: "Slipway is ready" in log.read_text(), log=log, seconds=INSTALL_SECONDS, what="the demo"
        )
        pasted = subprocess.run(
            ["bash", "-c", printed_commands(log.read_text())],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        started = psutil.Process(make.pid).children(recursive=True)
        # As a terminal does for Ctrl-C: to everything in the foreground.
        os.killpg(make.pid, signal.SIGINT)
        make.wait(30)
        _, left = psutil.wait_procs(started, timeout=10)

    assert json.loads(pasted.stdout)["label"] == ["setosa"]
    assert len(started) >= 3
    assert left == []
    assert "Everything has stopped." in log.read_text()
    # All that it writes is in ~/.slipway, and in what git ignores.
    assert (home / ".slipway/mlflow.db").is_file()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""
