"""docs/bring-your-own-model.md: its program and every command work on a real stack."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_core.registry.mlflow import MlflowRegistry
from support.stack import PASSWORD, RunningStack, bash, slipway_up
from support.waiting import wait_for

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/bring-your-own-model.md").read_text(encoding="utf-8")
# The time limit until a promoted version is served.
SERVED_SECONDS = 5.0


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """The stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", password=PASSWORD) as running_stack:
        yield running_stack


def blocks(language: str) -> list[str]:
    """Return the blocks of a language without their indentation in lists."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_program_and_commands_of_the_page_work(stack: RunningStack, tmp_path: Path) -> None:
    (program,) = blocks("python")
    (tmp_path / "their_program.py").write_text(program, encoding="utf-8")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    prepare, run_program, register, predict, trusted, file = blocks("sh")

    def paste(commands: str) -> str:
        script = f"set -e\n{prepare}\n{commands}"
        script = script.replace("http://127.0.0.1:5000", stack.mlflow_url).replace("http://127.0.0.1:8000", stack.url)
        return bash(script, tmp_path)

    paste(run_program)
    registered = paste(register)
    assert "Production of birds is now version 1" in registered
    assert f"curl -s {stack.url}/models/birds/predict" in registered
    wait_for(lambda: stack.call("GET", "/models/birds").is_success, seconds=SERVED_SECONDS, what="the new model")
    with MlflowRegistry(stack.mlflow_url) as registry:
        tags = registry.get_version("birds", "1").tags
    assert (tags["slipway.source"], tags["slipway.source_flavor"]) == ("their-penguins/1", "sklearn")
    paste(predict)
    predictions = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert predictions[1].split(",")[-5:-3] == ["0", "Adelie"]

    assert stack.call("GET", "/models/forest").status_code == 404
    untrusted = paste(f"{trusted.strip().removesuffix(' --trust')} 2>&1 || echo exit code $?")
    assert "repeat the command with --trust\nexit code 1" in untrusted
    assert "Production of forest is now version 1" in paste(trusted)
    assert "the gate would pass" in paste(file)
