"""The recipe `bike-demand`: how its data is fetched, and the downloads that it rejects."""

import io
import zipfile
from pathlib import Path

import httpx
import pytest

from slipway_trainer.errors import DataUnavailableError
from slipway_trainer.recipes import bike_demand
from slipway_trainer.recipes.bike_demand import FILE, SOURCE, fetch

CONTENT = b"instant,cnt\n1,16\n"


def archive(name: str = FILE, content: bytes = CONTENT) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return held.getvalue()


def answering(status: int, content: bytes = b"") -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(lambda _request: httpx.Response(status, content=content)))


def unreachable() -> httpx.Client:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    return httpx.Client(transport=httpx.MockTransport(refuse))


def test_archive_file_is_stored_where_the_recipe_reads_it(tmp_path: Path) -> None:
    fetch(tmp_path, answering(200, archive()))

    assert (tmp_path / "bike-sharing" / "hour.csv").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(unreachable(), id="unreachable"),
        pytest.param(answering(503), id="in trouble"),
        pytest.param(answering(200, b"<html>moved</html>"), id="a page"),
        pytest.param(answering(200, archive("day.csv")), id="another archive"),
    ],
)
def test_failed_download_is_reported_with_advice(tmp_path: Path, client: httpx.Client) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        fetch(tmp_path, client)

    assert str(caught.value) == f"the data could not be downloaded from {SOURCE}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_far_too_large_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bike_demand, "MAX_BYTES", len(CONTENT) - 1)

    with pytest.raises(DataUnavailableError, match="is too large to be the data"):
        fetch(tmp_path, answering(200, archive()))
