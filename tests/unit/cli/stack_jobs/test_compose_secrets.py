import stat
from pathlib import Path

import pytest

from slipway_cli.errors import StackError
from slipway_cli.stack_jobs.secrets import (
    BUNDLE_KEY,
    EVENTS_KEY,
    KEPT,
    SECRETS,
    TRUSTED_KEYS,
    forget,
    keep_secrets,
    rotate,
    share,
    shares,
    trust,
    trusted_keys,
)
from slipway_core.errors import ConfigurationError, SignatureError
from slipway_core.policy import why_key_is_unsafe, why_password_is_unsafe
from slipway_core.signing import Purpose, Signer, TrustedKeys
from slipway_core.signing.files import read_signer, read_trusted_keys
from support.signing import new_signer


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

    shared = shares(secrets, trusted_keys(tmp_path, secrets))
    told = {
        name: {service for service, files in shared.items() if any(value in text for text in files.values())}
        for name, value in secrets.items()
    }

    assert told["secret-key"] == {"api"}
    assert told["s3-secret-key"] == {"init", "trainer", "objects", "mlflow", "minio"}
    assert told["postgres-password"] == {"postgres"}
    assert told["mlflow-password"] == {"mlflow", "postgres"}
    assert told[BUNDLE_KEY] == {"init", "trainer"}
    assert told[EVENTS_KEY] == {"api"}
    assert {service for service, files in shared.items() if TRUSTED_KEYS in files} == {"api", "init", "trainer"}


def test_signing_key_is_private_and_can_be_used(tmp_path: Path) -> None:
    secrets = keep_secrets(tmp_path, {})
    share(tmp_path, "trainer", shares(secrets, trusted_keys(tmp_path, secrets))["trainer"])
    file = tmp_path / "trainer" / BUNDLE_KEY
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    signer, trusted = read_signer(file), read_trusted_keys(tmp_path / "trainer" / TRUSTED_KEYS)
    assert signer is not None
    assert trusted is not None
    assert [(key.name, key.events_only) for key in trusted] == [("trainer", False), ("api", True)]
    trusted.verify(signer.sign(b"message", Purpose.VERSION), b"message", Purpose.VERSION)


def test_rotated_keys_stay_trusted_until_they_are_forgotten(tmp_path: Path) -> None:
    before = keep_secrets(tmp_path, {})
    old = Signer.from_pem(before[BUNDLE_KEY].encode())
    rotate(tmp_path, before)
    after = keep_secrets(tmp_path, {})
    assert after[BUNDLE_KEY] != before[BUNDLE_KEY]
    assert after[EVENTS_KEY] != before[EVENTS_KEY]
    trusted = TrustedKeys.parse(trusted_keys(tmp_path, after))
    trusted.verify(old.sign(b"message", Purpose.VERSION), b"message", Purpose.VERSION)
    other = new_signer().public_key("laptop")
    trust(tmp_path, str(other), after)
    assert str(other) in trusted_keys(tmp_path, after)
    with pytest.raises(ConfigurationError, match="repeats the key"):
        trust(tmp_path, str(other), after)
    forget(tmp_path)
    trusted = TrustedKeys.parse(trusted_keys(tmp_path, after))
    with pytest.raises(SignatureError, match="not a trusted key"):
        trusted.verify(old.sign(b"message", Purpose.VERSION), b"message", Purpose.VERSION)


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
