"""`slipway login` and `slipway users add`: their requests, and the stored credentials."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_cli.cli import main
from slipway_cli.identity import Credentials, credentials_file, store_credentials
from support.command import run
from support.stub_api import Answer, StubApi, problem, stub_api


@pytest.fixture
def api() -> Iterator[StubApi]:
    """An API that accepts every login."""
    with stub_api(lambda _asked: Answer({"access_token": "fresh-token"})) as stub:
        yield stub


@pytest.fixture
def logged_in(api: StubApi) -> StubApi:
    """An API with stored credentials, which adds every account."""
    store_credentials(Credentials(url=api.url, username="ada", token="adas-token"))
    api.answer = lambda asked: Answer({"username": asked.json["username"], "role": asked.json["role"]}, 201)
    return api


def log_in(url: str, *options: str, given: str = "correct horse\n") -> str:
    """Log in with a password from standard input, and return what was printed."""
    ended = run(main, "login", url, "--username", "ada", "--password-stdin", *options, given=given)
    assert ended.exit_code == 0, ended.error
    return ended.output


@pytest.mark.parametrize("ending", ["", "/"])
def test_token_is_stored_for_its_owner_only(api: StubApi, ending: str) -> None:
    log_in(api.url + ending)

    assert json.loads(credentials_file().read_text()) == {"url": api.url, "username": "ada", "token": "fresh-token"}
    assert credentials_file().stat().st_mode & 0o777 == 0o600


def test_login_prints_neither_password_nor_token(api: StubApi) -> None:
    output = log_in(api.url)

    assert output == f"Logged in to {api.url} as ada. The token is stored in {credentials_file()}.\n"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        *((f"correct horse{ending}", "correct+horse") for ending in ("", "\n", "\r\n", "\nmore\n")),
        ("  pass  \n", "++pass++"),
    ],
)
def test_password_is_the_first_line_of_the_input(api: StubApi, given: str, sent: str) -> None:
    log_in(api.url, given=given)

    assert api.asked[0].body == f"username=ada&password={sent}".encode()


def test_rejected_login_keeps_the_stored_token(api: StubApi) -> None:
    store_credentials(Credentials(url=api.url, username="ada", token="older"))
    api.answer = lambda _asked: problem(401, "the username or the password is wrong")

    ended = run(main, "login", api.url, "-u", "ada", "--password-stdin", given="wrong\n")

    assert (ended.exit_code, ended.error) == (1, "Error: the username or the password is wrong\n")
    assert json.loads(credentials_file().read_text())["token"] == "older"


def test_address_of_another_server_is_reported(api: StubApi) -> None:
    api.answer = lambda _asked: Answer({"hello": "from something else"})

    ended = run(main, "login", api.url, "-u", "ada", "--password-stdin", given="x\n")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")
    assert not credentials_file().exists()


@pytest.mark.parametrize("command", [("login", "http://127.0.0.1:1", "-u", "ada"), ("users", "add", "bob")])
def test_missing_terminal_error_names_the_password_option(logged_in: StubApi, command: tuple[str, ...]) -> None:
    ended = run(main, *command, given="correct horse\n")

    assert ended.exit_code == 1
    assert ended.error.endswith("write the password to standard input, and add --password-stdin\n")
    assert logged_in.asked == []


def test_password_input_is_not_used_as_the_name(api: StubApi) -> None:
    ended = run(main, "login", api.url, "--password-stdin", given="correct horse\n")

    assert ended.exit_code != 0
    assert "correct horse" not in ended.output + ended.error
    assert not any(b"username=correct" in asked.body for asked in api.asked)


def test_unwritable_folder_is_reported_in_one_sentence(
    api: StubApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))

    ended = run(main, "login", api.url, "-u", "ada", "--password-stdin", given="correct horse\n")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: ")


@pytest.mark.parametrize(
    ("options", "role"), [*((("--role", role), role) for role in ("admin", "user", "viewer")), ((), "user")]
)
def test_account_is_added_with_its_role(logged_in: StubApi, options: tuple[str, ...], role: str) -> None:
    ended = run(main, "users", "add", "bob", *options, "--password-stdin", given="correct horse\n")

    login = f"To log in: slipway login {logged_in.url} --username bob"
    assert (ended.exit_code, ended.output) == (0, f"Added bob with the role {role}. {login}\n")
    (asked,) = logged_in.asked
    assert (asked.method, asked.path) == ("POST", "/users")
    assert asked.json == {"username": "bob", "password": "correct horse", "role": role}
    assert asked.headers["Authorization"] == "Bearer adas-token"


def test_taken_name_is_reported(logged_in: StubApi) -> None:
    logged_in.answer = lambda _asked: problem(409, "there is an account named bob already")

    ended = run(main, "users", "add", "bob", "--password-stdin", given="correct horse\n")

    assert (ended.exit_code, ended.error) == (1, "Error: there is an account named bob already\n")


def test_adding_an_account_checks_the_login_before_the_prompt() -> None:
    ended = run(main, "users", "add", "bob")

    assert ended.exit_code == 1
    assert ended.error.startswith("Error: you are not logged in")


# Logging out


@pytest.mark.parametrize(("options", "every"), [([], False), (["--all"], True)])
def test_logout_revokes_and_deletes_the_token(logged_in: StubApi, options: list[str], every: bool) -> None:
    logged_in.answer = lambda _asked: Answer(b"", 204)

    ended = run(main, "logout", *options)

    assert (ended.exit_code, credentials_file().exists()) == (0, False)
    (asked,) = logged_in.asked
    assert (asked.method, asked.path, asked.json) == ("POST", "/token/revoke", {"all": every})
    assert asked.headers["Authorization"] == "Bearer adas-token"
    assert ("Every token" in ended.output) == every


def test_logout_deletes_a_token_that_is_no_longer_valid(logged_in: StubApi) -> None:
    logged_in.answer = lambda _asked: problem(401, "the token has expired; get a new one from POST /token")

    assert run(main, "logout").exit_code == 0
    assert not credentials_file().exists()


def test_logout_reports_a_token_that_stays_valid(logged_in: StubApi) -> None:
    logged_in.answer = lambda _asked: problem(503, "accounts cannot be read now")

    ended = run(main, "logout")

    assert (ended.exit_code, credentials_file().exists()) == (1, False)
    assert ended.error.endswith("The token is deleted here, but it stays valid until it expires\n")


def test_logout_without_login_is_reported() -> None:
    ended = run(main, "logout")

    assert (ended.exit_code, ended.error) == (1, "Error: you are not logged in, so no token is stored\n")
