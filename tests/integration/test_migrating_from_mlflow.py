"""docs/migrating-from-mlflow.md: its requests get the same answers from both servers, and its notebook runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import free_port, running, wait_until_ready
from support.stack import RunningStack, bash, slipway_up

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/migrating-from-mlflow.md").read_text(encoding="utf-8")
PATH = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """The stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", password="correct-horse-7") as running_stack:
        yield running_stack


def blocks(language: str) -> list[str]:
    """Return the code blocks of the page, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_both_servers_and_the_notebook_of_the_page_agree(stack: RunningStack, tmp_path: Path) -> None:
    settings, serve, theirs, token, ours, probabilities = blocks("sh")
    expected, again = map(json.loads, blocks("json"))
    [notebook] = blocks("python")
    port, log = free_port(), tmp_path / "serve.log"
    addresses = {
        "http://127.0.0.1:5000": stack.mlflow_url,
        "http://127.0.0.1:8000": stack.url,
        "http://127.0.0.1:5001": f"http://127.0.0.1:{port}",
        "--port 5001": f"--port {port}",
    }

    def adapted(script: str) -> str:
        for written, actual in addresses.items():
            script = script.replace(written, actual)
        return script

    def paste(*commands: str) -> str:
        return bash("\n".join(["set -e", f"export PATH={PATH}", *map(adapted, commands)]), tmp_path)

    with running(
        ["bash", "-c", adapted(f"{settings}exec {serve}")], folder=tmp_path, log=log, environment={"PATH": PATH}
    ) as process:
        wait_until_ready(process, f"http://127.0.0.1:{port}/ping", log=log, seconds=90, what="mlflow models serve")
        assert json.loads(paste(theirs)) == json.loads(paste(token, ours)) == expected == again
        found = paste(token, probabilities)
        asked = probabilities.replace("v1/models/iris:predict", "invocations").replace(":8000", ":5001")
        rows = json.loads(found)["predictions"]
        assert list(rows[0]) == ["setosa", "versicolor", "virginica"]
        # MLflow's server takes rows by column name.
        names = re.findall(r'"([a-z]+ [a-z]+ \(cm\))"', theirs)
        named = json.dumps([dict(zip(names, [5.1, 3.5, 1.4, 0.2], strict=True))])
        assert json.loads(paste(asked.replace("[[5.1, 3.5, 1.4, 0.2]]", named))) == json.loads(found)

    shown = subprocess.run(
        [sys.executable, "-c", notebook],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": stack.mlflow_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert shown.startswith(str(expected["predictions"]).replace(",", ""))
    assert re.search(r"^ +setosa +versicolor +virginica$", shown, re.MULTILINE)
