"""The checks of `slipway doctor` of settings and secrets."""

from pathlib import Path

import pytest

from slipway_cli.doctor.context import read_context
from slipway_cli.doctor.secrets import check_kept_files, check_key, check_password
from slipway_cli.doctor.variables import check_files, check_names
from slipway_cli.embedded.home import Home, Ports
from slipway_core.policy import new_key


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("hunter2", "shorter than 32 bytes"),
        ("ab" * 32, "repeats itself"),
        ("change-me-0123456789-abcdefghijklm", "example"),
    ],
)
def test_unsafe_key_is_reported(monkeypatch: pytest.MonkeyPatch, key: str, why: str) -> None:
    monkeypatch.setenv("SECRET_KEY", key)

    (finding,) = check_key(read_context({}))

    assert finding.status == "broken"
    assert why in finding.what
    assert "SECRET_KEY" in finding.mend
    assert key not in finding.what + finding.mend


def test_an_unsafe_key_is_a_warning_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "short")
    monkeypatch.setenv("SLIPWAY_ENV", "development")

    (finding,) = check_key(read_context({}))

    assert finding.status == "warning"
    assert "SLIPWAY_ENV=development" in finding.what


def test_missing_key_is_a_warning_without_embedded_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    (embedded,) = check_key(read_context({}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    (own,) = check_key(read_context({}))

    assert (embedded.status, own.status) == ("ok", "warning")
    assert "slipway env --output .env" in own.mend
    assert "--home" in own.mend


def test_missing_key_does_not_concern_a_running_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.make()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5050")

    with home.locked(Ports(8080, 5050)):
        (finding,) = check_key(read_context({"home": home.root}))

    assert finding.status == "ok"


@pytest.mark.parametrize(
    ("password", "why"),
    [("short", "8 to 128 characters"), ("password1", "too easy to guess")],
)
def test_weak_password_of_the_administrator_is_reported(
    monkeypatch: pytest.MonkeyPatch, password: str, why: str
) -> None:
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", password)

    (finding,) = check_password(read_context({}))

    assert finding.status == "broken"
    assert why in finding.what
    assert "`slipway env`" in finding.mend
    assert password not in finding.what


def test_unreadable_secret_file_is_reported_and_others_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "gone"))
    monkeypatch.setenv("SLIPWAY_PORT", "8123")

    context = read_context({})
    (finding,) = check_files(context)

    assert context.settings.port == 8123
    assert (finding.check, finding.status) == ("SECRET_KEY_FILE", "broken")
    assert str(tmp_path / "gone") in finding.what
    assert "unset SECRET_KEY_FILE" in finding.mend


def test_empty_secret_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    (finding,) = check_files(read_context({}))

    assert finding.status == "broken"
    assert "names an empty file" in finding.what


def test_key_from_a_file_is_checked_like_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(new_key())
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    context = read_context({})

    assert [finding.status for finding in check_files(context)] == ["ok"]
    assert [finding.what for finding in check_key(context)] == ["set, and strong enough"]


def test_wrong_value_is_recorded_and_the_default_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PORT", "many")
    monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", "5055")

    context = read_context({})

    assert (context.settings.port, context.settings.mlflow_port) == (8000, 5055)
    assert list(context.wrong_values) == ["SLIPWAY_PORT"]
    assert "many" not in context.wrong_values["SLIPWAY_PORT"]


def test_each_misspelled_variable_is_a_finding_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SECRET_KEY", "x")
    monkeypatch.setenv("SLIPWAY_ZZZZZZZZZZZZZZZZZZZZ", "x")

    near, unlike = check_names(read_context({}))

    assert unlike.what == "SLIPWAY_ZZZZZZZZZZZZZZZZZZZZ is not a setting of Slipway"
    assert unlike.mend.startswith("remove it with `unset SLIPWAY_ZZZZZZZZZZZZZZZZZZZZ`")
    assert near.mend.startswith("rename it to SECRET_KEY, or remove it")


@pytest.mark.parametrize("name", ["secret-key", "admin-password"])
def test_empty_stack_secret_is_reported_with_the_fix(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home")
    home.make()
    (home.root / name).write_text("\n")
    (home.root / name).chmod(0o600)

    (finding,) = check_kept_files(read_context({"home": home.root}))

    assert (finding.check, finding.status) == (name, "broken")
    assert f"rm {home.root / name}" in finding.mend


def test_secret_of_the_stack_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    home.password_file.mkdir()

    (finding,) = check_kept_files(read_context({"home": home.root}))

    assert finding.status == "broken"
    assert "cannot be read" in finding.what
    assert "sudo chown" in finding.mend


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
def test_a_home_folder_open_to_others_is_a_warning(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "home"
    root.mkdir()
    root.chmod(mode)

    (finding,) = check_kept_files(read_context({"home": root}))

    assert finding.status == "warning"
    assert finding.mend == f"make it private with `chmod 700 {root}`"


@pytest.mark.parametrize("mode", [0o700, None])
def test_a_private_or_missing_home_folder_is_fine(tmp_path: Path, mode: int | None) -> None:
    root = tmp_path / "home"
    if mode is not None:
        root.mkdir(mode)

    assert list(check_kept_files(read_context({"home": root}))) == []
