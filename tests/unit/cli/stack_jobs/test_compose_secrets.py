import stat
from pathlib import Path

import pytest

from slipway_cli.errors import StackError
from slipway_cli.stack_jobs.secrets import KEPT, SECRETS, keep_secrets, share, shares
from slipway_core.policy import why_key_is_unsafe, why_password_is_unsafe


def test_missing_secrets_are_created(tmp_path: Path) -> None:
    secrets = keep_secrets(tmp_path, {})

    assert secrets.keys() == SECRETS.keys()
    assert why_key_is_unsafe(secrets["secret-key"]) is None
    assert why_password_is_unsafe(secrets["admin-password"], "admin") is None
    assert len(set(secrets.values())) == len(secrets)


def test_later_start_has_the_same_secrets(tmp_path: Path) -> None:
    assert keep_secrets(tmp_path, {}) == keep_secrets(tmp_path, {})


def test_two_stacks_share_no_secret_except_an_account_name(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    assert set(keep_secrets(first, {}).values()) & set(keep_secrets(second, {}).values()) == {"slipway"}


def test_given_secret_replaces_the_stored_one(tmp_path: Path) -> None:
    keep_secrets(tmp_path, {})

    assert keep_secrets(tmp_path, {"GRAFANA_ADMIN_PASSWORD": " given \n"})["grafana-password"] == "given"
    assert keep_secrets(tmp_path, {"GRAFANA_ADMIN_PASSWORD": ""})["grafana-password"] == "given"


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("SECRET_KEY", "too-short", "SECRET_KEY is shorter than 32 bytes"),
        ("SLIPWAY_ADMIN_PASSWORD", "short", "SLIPWAY_ADMIN_PASSWORD must have 8 to 128"),
        ("MINIO_ROOT_PASSWORD", "short", "MINIO_ROOT_PASSWORD is shorter than 8"),
    ],
)
def test_invalid_given_secret_is_not_stored(tmp_path: Path, variable: str, value: str, why: str) -> None:
    before = keep_secrets(tmp_path, {})

    with pytest.raises(StackError, match=why):
        keep_secrets(tmp_path, {variable: value, "GRAFANA_ADMIN_PASSWORD": "given"})

    assert keep_secrets(tmp_path, {}) == before


def test_kept_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    keep_secrets(tmp_path, {})

    assert stat.S_IMODE((tmp_path / KEPT).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / KEPT).iterdir()} == {0o600}


def test_signing_and_store_keys_reach_no_other_service(tmp_path: Path) -> None:
    secrets = keep_secrets(tmp_path, {})

    told = {
        name: {service for service, files in shares(secrets).items() if any(value in text for text in files.values())}
        for name, value in secrets.items()
    }

    assert told["secret-key"] == {"api"}
    assert told["s3-secret-key"] == {"init", "trainer", "objects", "mlflow", "minio"}
    assert told["postgres-password"] == {"postgres"}
    assert told["mlflow-password"] == {"mlflow", "postgres"}


def test_service_files_are_read_only_for_every_account(tmp_path: Path) -> None:
    share(tmp_path, "api", {"secret-key": "one"})
    share(tmp_path, "api", {"secret-key": "two"})

    file = tmp_path / "api" / "secret-key"
    assert file.read_text() == "two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    assert list(file.parent.iterdir()) == [file]


def test_unwritable_volume_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(StackError, match="volume of secrets"):
        keep_secrets(file, {})
