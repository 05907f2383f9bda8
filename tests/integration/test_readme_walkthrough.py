"""The commands of README.md, run twice in their order on one real stack."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import PASSWORD, RunningStack, bash, slipway_up

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Other tests cover the training on bike data, which is downloaded, docs/adding-a-model.md, docs/candidates.md and
# docs/bring-your-own-model.md.
LEFT_OUT = (
    "slipway train bike-demand",
    "slipway train ./wine.py",
    "slipway train iris --set register_all=true",
    "slipway register churn",
)
CHANGES = ("slipway train", "slipway models promote", "slipway models rollback")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStack]:
    """A fresh stack in the reader's home, as `make demo` starts it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with slipway_up(tmp_path / ".slipway", password=PASSWORD) as running_stack:
        yield running_stack


def walkthrough() -> list[str]:
    """Return the commands of the section about the command line that need no terminal and no Docker, in order."""
    (section,) = re.findall(r"^## The command line\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    commands = [re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [
        line
        for line in commands
        if re.match(r"printf|slipway (train|recipes|models|doctor|predict|users (list|events))\b", line)
        and not line.startswith(LEFT_OUT)
    ]


def test_readme_commands_succeed_in_order_and_again(
    stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in (("SLIPWAY_PORT", stack.url), ("SLIPWAY_MLFLOW_PORT", stack.mlflow_url)):
        monkeypatch.setenv(name, url.rpartition(":")[2])
    monkeypatch.setenv("SLIPWAY_URL", stack.url)
    monkeypatch.setenv("SLIPWAY_TOKEN", stack.token)
    commands = walkthrough()
    assert {"slipway models promote iris 1", "slipway models rollback iris"} <= set(commands)
    (tmp_path / ".venv").symlink_to(sys.prefix)

    for line in [*commands, *(line for line in commands if line.startswith(CHANGES))]:
        script = f". .venv/bin/activate && export MLFLOW_TRACKING_URI={stack.mlflow_url} && {line}"
        output = bash(script, tmp_path)
        assert "refused" not in output.partition("promote   ")[2], f"{line}\n{output}"
    assert (tmp_path / "answers.csv").read_text(encoding="utf-8").count(",setosa,") == 1
