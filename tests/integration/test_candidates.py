"""docs/candidates.md: every command of the page works in its order on a real stack."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.stack import RunningStack, bash, slipway_up
from support.waiting import wait_for

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/candidates.md").read_text(encoding="utf-8")
NAMES = ("gradient-boosting", "logistic-regression", "random-forest")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """The stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", password="correct-horse-7") as running_stack:
        yield running_stack


def test_commands_of_the_page_work(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    prepare, *steps = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    def paste(commands: str) -> str:
        script = f"set -e\n{prepare}\n{commands}"
        script = script.replace("http://127.0.0.1:5000", stack.mlflow_url).replace("http://127.0.0.1:8000", stack.url)
        return bash(script, tmp_path)

    def answer(commands: str) -> Any:
        return json.loads(paste(commands))

    train, listed, predict, command, stage, staged, unstage, promote, rollback = steps

    registered = re.findall(r"candidate ([a-z-]+): version ([0-9]+)", paste(train))
    assert sorted(name for name, _ in registered) == list(NAMES)
    wait_for(
        lambda: sum(one["loaded"] for one in answer(listed)["candidates"]) == len(NAMES),
        seconds=30,
        what="the candidates",
    )
    found = answer(listed)["candidates"]
    assert {one["name"]: one["version"] for one in found} == dict(registered)
    assert all(one["metrics"]["accuracy"] >= 0.9 for one in found)
    predicted = answer(predict)
    assert (predicted["version"], predicted["label"]) == (dict(registered)["random-forest"], ["setosa"])
    assert f"candidate random-forest of iris, version {predicted['version']}" in " ".join(paste(command).split())
    assert paste(stage) == "Staging of iris is now version 2.\n"
    wait_for(lambda: (stack.status()["staging"] or {}).get("loaded"), seconds=10, what="Staging")  # type: ignore[attr-defined]
    assert answer(staged)["version"] == "2"
    assert paste(unstage) == "Staging of iris is removed: version 2.\n"
    wait_for(lambda: stack.status()["staging"] is None, seconds=10, what="the end of Staging")
    promoted = answer(promote)
    assert (promoted["event"]["version"], promoted["event"]["by"], promoted["up_to_date"]) == ("2", "admin", True)
    rolled_back, history = paste(rollback).replace("}{", "}\n{").splitlines()
    assert json.loads(rolled_back)["event"]["from"] == "2"
    assert [move["action"] for move in json.loads(history)["moves"][:2]] == ["rollback", "promote"]
    assert stack.status()["model_version"] == promoted["event"]["from"]
