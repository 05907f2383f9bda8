"""docs/python-client.md and its notebook run from top to bottom with a real API."""

import ast
import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slipway_client import PredictionResult
from support.api_process import PASSWORD, ApiProcess, api_process, fill_cache
from support.waiting import wait_for

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "python-client.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((DOCS / "notebooks/client.ipynb").read_text(encoding="utf-8"))
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """Run an API whose iris has a candidate, too."""
    folder = tmp_path_factory.mktemp("api")
    fill_cache(folder / "cache", candidate="linear")
    with api_process(folder) as served:
        wait_for(
            lambda: served.call("GET", "/models/iris/candidates").json()["candidates"], seconds=30, what="the candidate"
        )
        yield served


@pytest.fixture(autouse=True)
def _home_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is in the file of `slipway up`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".slipway").mkdir()
    (tmp_path / ".slipway/admin-password").write_text(f"{PASSWORD}\n")


def run(sources: list[str], url: str) -> dict[str, Any]:
    """Run blocks of code in one session, as a notebook does, and return its variables."""
    session: dict[str, Any] = {"__name__": "__main__"}
    for source in sources:
        code = compile(source.replace(ADDRESS, url), "<block>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, session)  # noqa: S307  # the repository's own documentation
        if asyncio.iscoroutine(waiting):
            asyncio.run(waiting)
    return session


def test_examples_of_the_page_run(api: ApiProcess, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    session = run(blocks, api.url)

    session["client"].close()
    printed = capsys.readouterr().out
    assert session["predictions"]["label"].tolist() == ["setosa", "versicolor", "virginica"]
    assert isinstance(session["result"], PredictionResult)
    for line in (
        "admin",
        "linear 1 ['setosa', 'versicolor', 'virginica']",
        "[2] row 2: ",
        "['setosa', 'versicolor', 'virginica']",
        "[True, True, False]",
    ):
        assert line in printed
    assert re.search(r"^b petal width \(cm\) ", printed, re.MULTILINE)


def test_cells_of_the_notebook_run(api: ApiProcess) -> None:
    session = run(["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"], api.url)

    assert session["accuracy"] == 1
    assert all(one["correct"] for one in session["stored"])
    assert [place[:2] for place in session["problems"]] == [(1, "sepal length (cm)")]
    assert isinstance(session["many_predictions"], pd.DataFrame)
    assert len(session["many_predictions"]) == 2_000


def test_notebook_has_no_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]

    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
