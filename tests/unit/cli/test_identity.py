"""Identity: the credentials that `slipway login` stores, their overrides, and the address that gets the token."""

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
    with pytest.raises(NotLoggedInError, match=r"run `slipway login URL`, or set SLIPWAY_URL and SLIPWAY_TOKEN or"):
        identity()


@pytest.mark.parametrize(
    ("stored", "url", "token", "expected"),
    [
        (True, None, None, Identity(URL, "kept-token")),
        (True, OTHER + "/", "given-token", Identity(OTHER, "given-token")),
        (False, OTHER, "given-token", Identity(OTHER, "given-token")),
        (True, None, "given-token", Identity(URL, "given-token")),
        (True, URL, None, Identity(URL, "kept-token")),
        (True, URL + "/", None, Identity(URL, "kept-token")),
    ],
)
def test_environment_overrides_the_stored_credentials(
    monkeypatch: pytest.MonkeyPatch, stored: bool, url: str | None, token: str | None, expected: Identity
) -> None:
    if stored:
        store_credentials(KEPT)
    for name, value in (("SLIPWAY_URL", url), ("SLIPWAY_TOKEN", token)):
        if value is not None:
            monkeypatch.setenv(name, value)

    assert identity() == expected


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


def test_the_token_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-of-a-file\n")
    monkeypatch.setenv("SLIPWAY_URL", OTHER)
    monkeypatch.setenv("SLIPWAY_TOKEN_FILE", str(tmp_path / "token"))

    assert identity() == Identity(OTHER, "token-of-a-file")


def test_the_kept_token_is_not_sent_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(KEPT)
    with stub_api(lambda _asked: Answer({})) as stranger:
        monkeypatch.setenv("SLIPWAY_URL", stranger.url)

        ended = run(main, "predict", "iris", "--features", "1,2,3,4")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: you are not logged in")
    assert stranger.asked == []


def test_token_without_an_address_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", "given-token")

    with pytest.raises(NotLoggedInError):
        identity()


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"url": URL})])
def test_damaged_file_counts_as_missing(content: str) -> None:
    path = credentials_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)

    with pytest.raises(NotLoggedInError):
        identity()
