"""`slipway keys`: its requests, and where the key is shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.identity import Credentials, store_credentials
from support.command import run
from support.stub_api import Answer, StubApi, problem, stub_api

KEY = {
    "id": "01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55",
    "name": "scores",
    "description": "",
    "owner": "ada",
    "models": ["iris"],
    "actions": ["predict", "read"],
    "created_at": "2026-11-20T12:00:00Z",
    "expires_at": "2027-02-18T12:00:00Z",
    "expired": False,
    "last_used_at": "2026-11-21T08:30:59Z",
}
SECRET = "slk_secret"


@pytest.fixture
def api() -> Iterator[StubApi]:
    """An API with stored credentials, which creates every key."""
    with stub_api(lambda _asked: Answer({**KEY, "key": SECRET}, 201)) as stub:
        store_credentials(Credentials(url=stub.url, username="ada", token="adas-token"))
        yield stub


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ([], {}),
        (["--model", "iris", "--model", "demand"], {"models": ["iris", "demand"]}),
        (["--action", "read", "--action", "feedback"], {"actions": ["read", "feedback"]}),
        (["--expires", "30d"], {"expires_in": 2_592_000}),
        (["--expires", "12h"], {"expires_in": 43_200}),
        (["--expires", "never"], {"expires_in": "never"}),
        (["--description", "batch"], {"description": "batch"}),
    ],
)
def test_add_sends_the_options(api: StubApi, options: list[str], sent: dict[str, object]) -> None:
    ended = run(main, "keys", "add", "scores", *options)

    assert ended.exit_code == 0, ended.error
    assert (api.asked[0].method, api.asked[0].path) == ("POST", "/keys")
    assert api.asked[0].json == {"name": "scores", "description": "", **sent}


def test_add_prints_only_the_key_on_standard_output(api: StubApi) -> None:
    ended = run(main, "keys", "add", "scores")

    assert ended.output == f"{SECRET}\n"
    assert f"Created the key {KEY['id']} for scores. It expires: 2027-02-18 12:00 UTC." in ended.error
    assert SECRET not in ended.error


def test_add_writes_a_file_readable_by_its_owner_only(api: StubApi, tmp_path: Path) -> None:
    ended = run(main, "keys", "add", "scores", "--out", str(tmp_path / "key"))

    assert (tmp_path / "key").read_text() == SECRET
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert SECRET not in ended.output + ended.error


def test_key_that_cannot_be_written_is_revoked(api: StubApi, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = run(main, "keys", "add", "scores", "--out", str(tmp_path / "file" / "key"))

    assert ended.exit_code == 1
    assert "so it is revoked" in ended.error
    assert [(asked.method, asked.path) for asked in api.asked][1:] == [("DELETE", f"/keys/{KEY['id']}")]


@pytest.mark.parametrize("expires", ["30", "0d", "-1d", "2w", "Never"])
def test_other_lifetimes_are_rejected_before_any_request(api: StubApi, expires: str) -> None:
    ended = run(main, "keys", "add", "scores", f"--expires={expires}")

    assert ended.exit_code == 2
    assert "12h or 30d, or never" in ended.error
    assert api.asked == []


def test_keys_are_listed_as_a_table_and_as_json(api: StubApi) -> None:
    endless = {**KEY, "models": None, "expires_at": None, "last_used_at": None}
    api.answer = lambda _asked: Answer({"keys": [KEY, endless, {**KEY, "expired": True}], "next_cursor": None})

    table, as_json = run(main, "keys", "list"), run(main, "keys", "list", "--json")

    rows = [line.split() for line in table.output.splitlines() if "scores" in line]
    assert rows[0] == [
        *["scores", "ada", "iris", "predict,", "read"],
        *["2027-02-18", "12:00", "2026-11-21", "08:30"],
        KEY["id"],
    ]
    assert rows[1] == [*["scores", "ada", "all", "predict,", "read", "never", "–"], KEY["id"]]
    assert "expired" in rows[2]
    assert json.loads(as_json.output)[0] == KEY


def test_revoke_deletes_the_key(api: StubApi) -> None:
    api.answer = lambda _asked: Answer(b"", 204)

    ended = run(main, "keys", "revoke", "../users/uma")

    assert ended.exit_code == 0
    assert [(asked.method, asked.path) for asked in api.asked] == [("DELETE", "/keys/%2E%2E%2Fusers%2Fuma")]


def test_key_is_sent_as_the_identity(api: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SLIPWAY_API_KEY_FILE", str(tmp_path / "key"))
    api.answer = lambda _asked: problem(403, "an API key cannot do this; log in, and send a token from POST /token")

    ended = run(main, "keys", "list")

    assert api.asked[0].headers["X-API-Key"] == SECRET
    assert "Authorization" not in api.asked[0].headers
    assert ended.error == ("Error: an API key cannot do this; run `slipway login URL`, without SLIPWAY_API_KEY\n")


def test_token_and_key_together_are_rejected(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_API_KEY", SECRET)
    monkeypatch.setenv("SLIPWAY_TOKEN", "a-token")

    ended = run(main, "keys", "list")

    assert (ended.exit_code, api.asked) == (1, [])
    assert ended.error == "Error: SLIPWAY_TOKEN and SLIPWAY_API_KEY are both set: remove one of them\n"


def test_invalid_key_is_reported_with_the_command(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_API_KEY", SECRET)
    api.answer = lambda _asked: problem(401, "the API key has expired; create a new one with POST /keys")

    ended = run(main, "predict", "iris", "--features", "1,2,3,4")

    assert ended.error == "Error: the API key has expired; create a new one with `slipway keys add`\n"
