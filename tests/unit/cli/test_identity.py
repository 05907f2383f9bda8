"""Identity: what `slipway login` keeps, what overrides it, and that no token goes to a stranger."""

import json
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.errors import NotLoggedInError
from slipway_cli.identity import Credentials, Identity, credentials_file, identify, store_credentials
from slipway_cli.settings import ClientSettings
from slipway_core.settings import load_settings
from support.command import run
from support.stub_api import Answer, stub_api

URL, OTHER = "http://127.0.0.1:8000", "http://elsewhere.example:8000"
KEPT = Credentials(url=URL, username="ada", token="kept-token")


def identity() -> Identity:
    return identify(load_settings(ClientSettings))


def test_missing_credentials_error_suggests_to_log_in() -> None:
    with pytest.raises(NotLoggedInError, match=r"run `slipway login URL`, or set SLIPWAY_URL and SLIPWAY_TOKEN"):
        identity()


def test_stored_credentials_are_found() -> None:
    store_credentials(KEPT)

    assert identity() == Identity(URL, "kept-token")


def test_the_credentials_are_readable_by_their_owner_only() -> None:
    path = store_credentials(KEPT)

    assert path == credentials_file()
    assert path.stat().st_mode & 0o777 == 0o600


def test_second_login_replaces_the_first_with_the_same_mode() -> None:
    store_credentials(KEPT).chmod(0o644)

    path = store_credentials(Credentials(url=OTHER, username="bob", token="newer"))

    assert identity() == Identity(OTHER, "newer")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_file_left_by_an_interrupted_login_is_ignored() -> None:
    path = credentials_file()
    path.parent.mkdir(parents=True)
    path.with_suffix(".partial").write_text("half a")

    store_credentials(KEPT)

    assert identity() == Identity(URL, "kept-token")


def test_the_environment_overrides_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(KEPT)
    monkeypatch.setenv("SLIPWAY_URL", OTHER + "/")
    monkeypatch.setenv("SLIPWAY_TOKEN", "given-token")

    assert identity() == Identity(OTHER, "given-token")


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_URL", OTHER)
    monkeypatch.setenv("SLIPWAY_TOKEN", "given-token")

    assert identity() == Identity(OTHER, "given-token")


def test_the_token_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-of-a-file\n")
    monkeypatch.setenv("SLIPWAY_URL", OTHER)
    monkeypatch.setenv("SLIPWAY_TOKEN_FILE", str(tmp_path / "token"))

    assert identity() == Identity(OTHER, "token-of-a-file")


def test_a_token_of_the_environment_goes_to_the_kept_address(monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(KEPT)
    monkeypatch.setenv("SLIPWAY_TOKEN", "given-token")

    assert identity() == Identity(URL, "given-token")


@pytest.mark.parametrize("url", [URL, URL + "/"])
def test_stored_token_is_sent_to_its_own_address_only(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    store_credentials(KEPT)
    monkeypatch.setenv("SLIPWAY_URL", url)

    assert identity() == Identity(URL, "kept-token")


def test_the_kept_token_is_not_sent_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(KEPT)
    with stub_api(lambda _asked: Answer({})) as stranger:
        monkeypatch.setenv("SLIPWAY_URL", stranger.url)

        ended = run(main, "predict", "iris", "--features", "1,2,3,4")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: you are not logged in")
    assert stranger.asked == []


def test_a_token_without_an_address_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", "given-token")

    with pytest.raises(NotLoggedInError):
        identity()


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"url": URL})])
def test_a_damaged_file_is_like_none(content: str) -> None:
    path = credentials_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)

    with pytest.raises(NotLoggedInError):
        identity()
