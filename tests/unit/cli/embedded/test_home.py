"""The folder of the embedded stack: its permissions, its lock and its files."""

from pathlib import Path

import pytest

from slipway_cli.embedded.home import Home
from slipway_cli.errors import StackError
from slipway_core.policy import why_key_is_unsafe, why_password_is_unsafe


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A created folder."""
    home = Home(tmp_path / "home")
    home.make()
    return home


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_folder_is_made_for_its_owner_only(home: Home) -> None:
    assert mode(home.root) == 0o700
    assert all(folder.is_dir() for folder in (home.logs, home.cache, home.artifacts))


def test_missing_parent_folders_are_created(tmp_path: Path) -> None:
    home = Home(tmp_path / "not" / "yet" / "there")

    home.make()

    assert home.logs.is_dir()


def test_creating_the_folder_again_keeps_its_content(home: Home) -> None:
    (home.logs / "api.log").write_text("kept")

    home.make()

    assert (home.logs / "api.log").read_text() == "kept"


@pytest.mark.parametrize("below", ["", "logs"])
def test_file_in_place_of_the_folder_is_reported_with_the_option(tmp_path: Path, below: str) -> None:
    root = tmp_path / "home"
    blocked = root / below
    blocked.parent.mkdir(exist_ok=True, mode=0o700)
    blocked.touch()

    with pytest.raises(StackError, match=rf"the folder {root} cannot be written \(.+\): choose another with --home"):
        Home(root).make()


def test_folder_is_locked_once(home: Home) -> None:
    with (
        home.locked(),
        pytest.raises(StackError, match=rf"a stack is already running in {home.root}: stop it first"),
        Home(home.root).locked(),
    ):
        pytest.fail("it was held twice")


def test_rejected_lock_does_not_release_the_existing_one(home: Home) -> None:
    with home.locked():
        for _ in range(2):
            with pytest.raises(StackError), Home(home.root).locked():
                pass


def test_lock_is_released_after_an_error(home: Home) -> None:
    with pytest.raises(KeyError), home.locked():
        raise KeyError

    with home.locked():
        pass


def test_two_folders_are_locked_at_once(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.make()

    with home.locked(), other.locked():
        pass


def test_lock_check_does_not_change_the_folder(home: Home) -> None:
    before = home.is_locked()
    made = set(home.root.iterdir())

    with home.locked():
        held = home.is_locked()

    assert (before, held, home.is_locked()) == (False, True, False)
    assert made == {home.logs, home.cache, home.artifacts, home.work}


def test_unopenable_lock_is_reported_in_one_sentence(home: Home) -> None:
    (home.root / "lock").mkdir()

    with pytest.raises(StackError), home.locked():
        pytest.fail("it was held")


def test_the_key_is_made_once_and_kept(home: Home) -> None:
    key = home.secret_key()

    assert why_key_is_unsafe(key) is None
    assert home.secret_key() == key
    assert Home(home.root).secret_key() == key


def test_every_folder_has_a_separate_key(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.make()

    assert home.secret_key() != other.secret_key()


def test_secrets_are_readable_by_their_owner_only(home: Home) -> None:
    home.secret_key()
    home.admin_password(None)

    secrets = [path for path in home.root.iterdir() if path.is_file()]
    assert len(secrets) == 2
    assert {mode(path) for path in secrets} == {0o600}


def test_without_a_password_a_random_one_is_made(home: Home) -> None:
    password, is_new = home.admin_password(None)

    assert is_new
    assert why_password_is_unsafe(password, "admin") is None
    assert home.password_file.read_text() == password + "\n"


def test_the_given_password_is_taken_at_the_first_start(home: Home) -> None:
    assert home.admin_password("correct horse") == ("correct horse", True)


@pytest.mark.parametrize("given", [None, "correct horse", "another one"])
def test_stored_password_is_used_from_the_second_start(home: Home, given: str | None) -> None:
    home.admin_password("correct horse")

    assert Home(home.root).admin_password(given) == ("correct horse", False)


def test_partial_secret_of_an_interrupted_start_is_replaced(home: Home) -> None:
    (home.root / "secret-key.partial").write_text("half a k")

    key = home.secret_key()

    assert why_key_is_unsafe(key) is None
    assert not (home.root / "secret-key.partial").exists()
