"""docs/your-data.md: its recipe trains, and each of its requests gets a prediction from a real stack."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_trainer.recipes import find_recipe
from support.stack import RunningStack, bash, slipway_up
from support.waiting import wait_for

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs/your-data.md").read_text(encoding="utf-8")
MODEL = "parcels"
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


def test_recipe_and_requests_of_the_page_work(stack: RunningStack, tmp_path: Path) -> None:
    (recipe,) = blocks("python")
    (tmp_path / "parcels.py").write_text(recipe, encoding="utf-8")
    train, show, token, native, inference, split, rows, login, command = blocks("sh")

    def paste(*commands: str) -> str:
        settings = f"export PATH={Path(sys.prefix) / 'bin'}:$PATH MLFLOW_TRACKING_URI={stack.mlflow_url}"
        script = "\n".join(["set -e", settings, *commands])
        return bash(script.replace("http://127.0.0.1:8000", stack.url), tmp_path)

    assert "Production of parcels is now version 1" in paste(train)
    assert "others are passed on" in paste(show)
    wait_for(lambda: stack.call("GET", f"/models/{MODEL}").is_success, seconds=SERVED_SECONDS, what="the new model")
    assert '"prediction":[1,0],"label":[true,false]' in paste(token, native)
    assert '"data":["true"]' in paste(token, inference)
    assert paste(token, split) == paste(token, rows) == '{"predictions":[true]}'
    assert re.search(r"│ 1 +│ true +│", paste(login, command))


def test_example_file_of_the_page_has_the_columns_of_its_recipe(tmp_path: Path) -> None:
    (recipe,) = blocks("python")
    (tmp_path / "parcels.py").write_text(recipe, encoding="utf-8")
    header = blocks("")[0].splitlines()[0]

    found = find_recipe(str(tmp_path / "parcels.py"))

    assert header.split(",") == [*found.feature_names, found.target.name]
