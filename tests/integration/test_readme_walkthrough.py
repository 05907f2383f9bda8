"""The registry commands of README.md, run in the order in which they stand there, twice, on one real stack."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import RunningStack, slipway_up

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPE_PAGE = (ROOT / "docs/adding-a-model.md").read_text(encoding="utf-8")
# Trainings on the bike data download it; tests/integration/test_training_bike.py runs them on local data.
LEFT_OUT = ("slipway train bike-demand",)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """A fresh stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", "--admin-password=correct-horse-7") as running_stack:
        yield running_stack


def walkthrough() -> list[str]:
    """Return the commands on trainings and the registry of the section about the command line, in order."""
    (section,) = re.findall(r"^## The command line\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    commands = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [
        line
        for line in commands
        if re.match(r"slipway (train|models|doctor)\b", line) and not line.startswith(LEFT_OUT)
    ]


def test_readme_commands_succeed_in_order_and_again(stack: RunningStack, tmp_path: Path) -> None:
    commands = walkthrough()
    assert {"slipway models promote iris 1", "slipway models rollback iris"} <= set(commands)
    (recipe,) = re.findall(r"^```python\n(.*?)^```", RECIPE_PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "wine.py").write_text(recipe, encoding="utf-8")
    (tmp_path / ".venv").symlink_to(sys.prefix)

    for line in [*commands, *commands]:
        script = f". .venv/bin/activate && export MLFLOW_TRACKING_URI={stack.mlflow_url} && {line}"
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        assert "refused" not in ended.stdout.partition("promote   ")[2], f"{line}\n{ended.stdout}"
