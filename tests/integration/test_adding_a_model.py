"""docs/adding-a-model.md: its recipe and every command work on a real stack."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import RunningStack, bash, slipway_up
from support.waiting import wait_for

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/adding-a-model.md").read_text(encoding="utf-8")
# The time limit until a promoted version is served.
SERVED_SECONDS = 5.0


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """The stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", password="correct-horse-7") as running_stack:
        yield running_stack


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_recipe_and_commands_of_the_page_work(stack: RunningStack, tmp_path: Path) -> None:
    (recipe,) = blocks("python")
    (tmp_path / "wine.py").write_text(recipe, encoding="utf-8")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    # The tests' environment has the extra that one of them installs.
    prepare, *steps = (block for block in blocks("sh") if "[boosting]" not in block)
    assert len(steps) == 5

    def paste(commands: str) -> str:
        script = f"set -e\n{prepare}\n{commands}"
        script = script.replace("http://127.0.0.1:5000", stack.mlflow_url).replace("http://127.0.0.1:8000", stack.url)
        return bash(script, tmp_path)

    first, changed, promoted, asked, back = steps

    kept = r"version 1 is registered, and Production of wine is unchanged, as requested\n +the gate would pass\n"
    assert re.search(kept, paste(first))
    assert "version 2 is registered" in paste(changed)
    assert "Production of wine is now version 3" in paste(promoted)
    wait_for(lambda: stack.call("GET", "/models/wine").is_success, seconds=SERVED_SECONDS, what="the new model")
    assert "cultivar 0" in paste(asked)
    assert "Production of wine is version 3 again; version 1 is withdrawn" in paste(back)
