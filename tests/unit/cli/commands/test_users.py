"""`slipway users`: its requests and its output."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import typer

from slipway_cli.cli import main
from slipway_cli.commands import accounts
from slipway_cli.identity import Credentials, credentials_file, store_credentials
from support.command import run
from support.stub_api import Answer, StubApi, problem, stub_api

UMA = {"id": "0b6d", "username": "uma", "role": "user", "disabled": False, "created_at": "2026-11-20T12:00:00Z"}
VIC = {**UMA, "id": "17ff", "username": "vic", "role": "viewer", "disabled": True}
EVENT = {
    "id": "e1",
    "at": "2026-11-20T12:00:00.123Z",
    "actor_id": "a1",
    "subject_id": "0b6d",
    "subject_name": "uma",
    "action": "role_changed",
    "address": "192.0.2.1",
    "details": {"before": "user", "after": "viewer"},
}


@pytest.fixture
def api() -> Iterator[StubApi]:
    """An API with stored credentials."""
    with stub_api(lambda _asked: Answer(UMA)) as stub:
        store_credentials(Credentials(url=stub.url, username="ada", token="adas-token"))
        yield stub


def in_two_pages(api: StubApi, key: str, first: object, second: object) -> None:
    def answer(asked: object) -> Answer:
        is_first = len(api.asked) == 1
        return Answer({key: [first if is_first else second], "next_cursor": "c 1" if is_first else None})

    api.answer = answer


def test_every_page_of_accounts_is_listed(api: StubApi) -> None:
    in_two_pages(api, "users", UMA, VIC)

    ended = run(main, "users", "list", "--json")

    assert (ended.exit_code, json.loads(ended.output)) == (0, [UMA, VIC])
    queries = [parse_qs(urlsplit(asked.path).query) for asked in api.asked]
    assert queries == [{"limit": ["200"]}, {"limit": ["200"], "cursor": ["c 1"]}]
    assert api.asked[0].headers["Authorization"] == "Bearer adas-token"


def test_accounts_are_shown_as_a_table(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"users": [UMA, VIC], "next_cursor": None})

    lines = run(main, "users", "list").output.splitlines()

    [uma] = [line.split() for line in lines if " uma " in line]
    [vic] = [line.split() for line in lines if " vic " in line]
    assert uma == ["uma", "user", "active", "2026-11-20", "0b6d"]
    assert vic == ["vic", "viewer", "disabled", "2026-11-20", "17ff"]


@pytest.mark.parametrize(
    ("command", "body", "told"),
    [
        (("disable", "uma"), {"disabled": True}, "uma is disabled and can no longer log in.\n"),
        (("enable", "uma"), {"disabled": False}, "uma is enabled and can log in.\n"),
        (
            ("role", "uma", "user"),
            {"role": "user"},
            "uma has the role user. A change of the role revokes earlier tokens.\n",
        ),
    ],
)
def test_an_account_is_changed(api: StubApi, command: tuple[str, ...], body: object, told: str) -> None:
    ended = run(main, "users", *command)

    assert (ended.exit_code, ended.output) == (0, told)
    [asked] = api.asked
    assert (asked.method, asked.path, asked.json) == ("PATCH", "/users/uma", body)


def test_name_is_quoted_in_the_path(api: StubApi) -> None:
    run(main, "users", "disable", "../models/iris")

    assert api.asked[0].path.count("/") == 2


def test_another_accounts_password_is_reset(api: StubApi) -> None:
    ended = run(main, "users", "password", "uma", "--password-stdin", given="another horse\n")

    assert (ended.exit_code, ended.output) == (0, "uma has a new password and must log in again.\n")
    [asked] = api.asked
    assert (asked.method, asked.path, asked.json) == ("PATCH", "/users/uma", {"password": "another horse"})


def test_own_password_is_changed_and_the_new_token_stored(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"access_token": "fresh", "token_type": "bearer", "expires_in": 3600})

    ended = run(main, "users", "password", "--password-stdin", given="correct horse\nanother horse\n")

    assert (ended.exit_code, ended.output) == (0, "Your password is changed, and you are logged in with the new one.\n")
    [asked] = api.asked
    assert (asked.method, asked.path) == ("PUT", "/users/me/password")
    assert asked.json == {"current_password": "correct horse", "new_password": "another horse"}
    assert json.loads(credentials_file().read_text()) == {"url": api.url, "username": "ada", "token": "fresh"}


def test_token_of_the_environment_keeps_the_stored_one(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", "another-token")
    api.answer = lambda _asked: Answer({"access_token": "fresh", "token_type": "bearer", "expires_in": 3600})

    ended = run(main, "users", "password", "--password-stdin", given="correct horse\nanother horse\n")

    assert "SLIPWAY_TOKEN is revoked" in ended.output
    assert "fresh" not in ended.output
    assert json.loads(credentials_file().read_text())["token"] == "adas-token"


@pytest.mark.parametrize(
    ("options", "query", "told"),
    [
        ((), {}, "Deleted uma. The predictions of this account are kept, without a name.\n"),
        (
            ("--erase",),
            {"erase": ["true"]},
            "Deleted uma, the predictions of this account, and its name in the audit log.\n",
        ),
    ],
)
def test_an_account_is_deleted(api: StubApi, options: tuple[str, ...], query: object, told: str) -> None:
    api.answer = lambda _asked: Answer(b"", 204)

    ended = run(main, "users", "delete", "uma", *options)

    assert (ended.exit_code, ended.output) == (0, told)
    [asked] = api.asked
    split = urlsplit(asked.path)
    assert (asked.method, split.path, parse_qs(split.query)) == ("DELETE", "/users/uma", query)


def test_rejection_is_reported_in_the_words_of_the_api(api: StubApi) -> None:
    api.answer = lambda _asked: problem(409, "ada is the last active admin; make another account an admin first")

    ended = run(main, "users", "delete", "ada", "--yes")

    assert ended.exit_code == 1
    assert ended.error == "Error: ada is the last active admin; make another account an admin first\n"


def test_events_are_listed_up_to_a_limit(api: StubApi) -> None:
    in_two_pages(api, "events", EVENT, {**EVENT, "id": "e2"})

    ended = run(main, "users", "events", "--limit", "2", "--json")

    assert [event["id"] for event in json.loads(ended.output)] == ["e1", "e2"]
    assert [parse_qs(urlsplit(asked.path).query)["limit"] for asked in api.asked] == [["2"], ["1"]]


def test_events_are_shown_with_current_account_names(api: StubApi) -> None:
    erased = {**EVENT, "subject_name": None, "actor_id": None, "address": None, "action": "deleted", "details": {}}
    gone = {**EVENT, "actor_id": "a9", "action": "disabled", "details": {}}
    pages: dict[str, object] = {
        "/users/events": {"events": [EVENT, erased, gone], "next_cursor": None},
        "/users": {"users": [{**UMA, "id": "a1", "username": "ada"}], "next_cursor": None},
    }
    api.answer = lambda asked: Answer(pages[urlsplit(asked.path).path])

    output = run(main, "users", "events").output

    def line(word: str) -> list[str]:
        [found] = [line.split() for line in output.splitlines() if word in line]
        return found

    assert "role changed (user → viewer)" in output
    assert line("role changed")[-3:] == ["uma", "ada", "192.0.2.1"]
    assert line("deleted") == ["2026-11-20", "12:00:00", "deleted", "0b6d", "–", "–"]
    assert line("disabled")[-2:] == ["a9", "192.0.2.1"]


@pytest.mark.parametrize(
    ("action", "actor", "told"),
    [
        ("registered", "a1", "added (user)"),
        ("registered", None, "registered (user)"),
        ("first_admin_made", None, "first admin created (user)"),
    ],
)
def test_event_of_a_new_account_names_its_origin(api: StubApi, action: str, actor: str | None, told: str) -> None:
    event = {**EVENT, "action": action, "actor_id": actor, "details": {"role": "user"}}
    pages: dict[str, object] = {
        "/users/events": {"events": [event], "next_cursor": None},
        "/users": {"users": [], "next_cursor": None},
    }
    api.answer = lambda asked: Answer(pages[urlsplit(asked.path).path])

    assert f" {told} " in run(main, "users", "events").output


@pytest.mark.parametrize("command", [("users", "list"), ("users", "events")])
def test_address_of_another_server_is_reported(api: StubApi, command: tuple[str, ...]) -> None:
    api.answer = lambda _asked: Answer({"hello": "from something else"})

    ended = run(main, *command)

    assert ended.exit_code == 1
    assert "is not Slipway's API" in ended.error


def test_invalid_role_is_reported_by_the_command() -> None:
    ended = run(main, "users", "add", "bob", "--role", "king")

    assert ended.exit_code == 2
    assert "'king' is not one of 'admin'" in ended.error
    assert "Value error" not in ended.error


@pytest.fixture
def prompt(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal that answers every password prompt; the list has the prompts."""
    asked_for: list[str] = []

    def answer(text: str, **_options: object) -> str:
        asked_for.append(text)
        return "correct horse"

    monkeypatch.setattr(typer, "prompt", answer)
    monkeypatch.setattr(accounts, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    pages: dict[str, Answer] = {
        "/users": Answer({"users": [UMA], "next_cursor": None}),
        "/users/me": Answer(UMA),
        "/": Answer({"service": "slipway"}),
    }
    api.answer = lambda asked: pages[urlsplit(asked.path).path] if asked.method == "GET" else Answer(UMA)
    return asked_for


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "uma"), "an account named uma exists"),
        (("add", " UMA "), "exists: choose another name"),
        (("add", "white space"), "a name has 1 to 64"),
        (("add", "me"), "no account can have the name me"),
        (("add", ""), "a name has 1 to 64"),
        (("password", "vic"), "no account is named vic"),
    ],
)
def test_wrong_name_is_rejected_before_the_prompt(prompt: list[str], arguments: tuple[str, ...], why: str) -> None:
    ended = run(main, "users", *arguments)

    assert ended.exit_code == 1
    assert why in ended.error
    assert prompt == []


@pytest.mark.parametrize("arguments", [("add", "vic"), ("password", "uma"), ("password", "Uma")])
def test_valid_name_is_prompted_for_its_password(prompt: list[str], arguments: tuple[str, ...]) -> None:
    ended = run(main, "users", *arguments)

    assert ended.exit_code == 0
    assert len(prompt) == 1


@pytest.mark.parametrize("arguments", [("add", "vic"), ("password",), ("password", "uma")])
def test_expired_token_is_rejected_before_the_prompt(
    api: StubApi, prompt: list[str], arguments: tuple[str, ...]
) -> None:
    api.answer = lambda _asked: problem(401, "the token has expired")

    ended = run(main, "users", *arguments)

    assert "the token has expired" in ended.error
    assert prompt == []


def test_adding_needs_no_right_to_list_accounts(api: StubApi, prompt: list[str]) -> None:
    api.answer = lambda asked: problem(403, "only an admin may") if asked.method == "GET" else Answer(UMA)

    assert run(main, "users", "add", "vic").exit_code == 0
    assert prompt == ["Password"]


def test_wrong_address_is_rejected_before_the_prompt(api: StubApi, prompt: list[str]) -> None:
    api.answer = lambda _asked: Answer({"service": "another"})

    ended = run(main, "login", api.url, "--username", "uma")

    assert "is not Slipway's API" in ended.error
    assert prompt == []
