"""The secrets of the compose stack: generated if not set, stored in a volume, and shared with the services.

The volume stores each secret once in `kept/`, which no other service can see. It has another folder for each service,
the only one that the service can see. The files in those folders are written again at each start.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from slipway_cli.errors import StackError
from slipway_core.atomic_file import write_secret
from slipway_core.policy import new_key, new_password, why_key_is_unsafe, why_password_is_unsafe
from slipway_core.signing import Signer, TrustedKeys
from slipway_core.signing.keys import new_private_key

KEPT = "kept"
# Services that read a changed secret when they restart. In other services, it must be changed in the program.
READ_AT_START = frozenset({"api", "mlflow", "minio", "alertmanager"})
READABLE_FILE, READABLE_FOLDER = 0o444, 0o755
# The programs reject a signing key that other accounts can read.
OWNED_FILE = 0o400
BUNDLE_KEY, EVENTS_KEY = "bundle-key", "events-key"


class Secret(NamedTuple):
    """A secret of the stack.

    Attributes:
        variable: the variable that sets it; None if only services use it.
        make: returns a random secret.
        why_refused: returns why a given value is rejected, as the end of a sentence; None if it is valid.
    """

    variable: str | None
    make: Callable[[], str]
    why_refused: Callable[[str], str | None] = lambda _: None


def _why_short(least: int) -> Callable[[str], str | None]:
    return lambda value: f"is shorter than {least} characters" if len(value) < least else None


SECRETS: Mapping[str, Secret] = {
    "secret-key": Secret("SECRET_KEY", new_key, why_key_is_unsafe),
    "admin-password": Secret("SLIPWAY_ADMIN_PASSWORD", new_password, lambda value: why_password_is_unsafe(value, "")),
    "postgres-password": Secret("POSTGRES_PASSWORD", new_password),
    "slipway-password": Secret(None, new_password),
    "mlflow-password": Secret(None, new_password),
    "monitor-password": Secret(None, new_password),
    "s3-access-key": Secret("MINIO_ROOT_USER", lambda: "slipway", _why_short(3)),
    "s3-secret-key": Secret("MINIO_ROOT_PASSWORD", new_key, _why_short(8)),
    "grafana-password": Secret("GRAFANA_ADMIN_PASSWORD", new_password),
    # Signs versions and promotions; MLflow and the API never see it.
    BUNDLE_KEY: Secret(None, new_private_key),
    # Signs the promotions of the API.
    EVENTS_KEY: Secret(None, new_private_key),
}
# Further public keys to trust: those of other machines, and former keys during a rotation.
OTHER_KEYS = "other-trusted-keys"
TRUSTED_KEYS = "trusted-keys"


def keep_secrets(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return every secret: the given, the stored or a new one. Each is stored.

    Args:
        folder: the volume.
        given: the environment; empty variables are ignored.

    Raises:
        StackError: a given secret is rejected, and none is stored; or the volume cannot be read or written.
    """
    for secret in SECRETS.values():
        value = given.get(secret.variable or "", "").strip()
        if value and (why := secret.why_refused(value)):
            raise StackError(f"{secret.variable} {why}; set another, or unset it to keep the stored or random one")
    kept = open_kept(folder)
    try:
        return {name: _kept(kept / name, secret, given) for name, secret in SECRETS.items()}
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be used: {error.strerror}") from error


def open_kept(folder: Path) -> Path:
    """Return the folder of the volume that no other service can see. It is created if it is missing.

    Raises:
        StackError: the volume cannot be written.
    """
    kept = folder / KEPT
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be used: {error.strerror}") from error
    return kept


def _kept(path: Path, secret: Secret, given: Mapping[str, str]) -> str:
    value = given.get(secret.variable, "").strip() if secret.variable else ""
    if not value and path.exists():
        return path.read_text(encoding="utf-8")
    value = value or secret.make()
    write_secret(path, value)
    return value


def trusted_keys(folder: Path, secrets: Mapping[str, str]) -> str:
    """Return the content of the file of trusted keys: the stack's own keys, and those that were added.

    Raises:
        ConfigurationError: an added key is malformed or repeated.
        StackError: the volume cannot be read.
    """
    own = (
        Signer.from_pem(secrets[BUNDLE_KEY].encode()).public_key("trainer"),
        Signer.from_pem(secrets[EVENTS_KEY].encode()).public_key("api", events_only=True),
    )
    content = "".join(f"{key}\n" for key in own) + _other_keys(folder)
    TrustedKeys.parse(content)
    return content


def trust(folder: Path, line: str, secrets: Mapping[str, str]) -> None:
    """Add a line to the trusted keys.

    Raises:
        ConfigurationError: it is malformed or repeated.
        StackError: the volume cannot be read or written.
    """
    others = f"{_other_keys(folder)}{line}\n"
    TrustedKeys.parse(f"{trusted_keys(folder, secrets)}{line}\n")
    _store_other_keys(folder, others)


def rotate(folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Create new signing keys; the former ones stay trusted until `forget`. Return all secrets.

    Raises:
        StackError: the volume cannot be read or written.
    """
    signers = {name: Signer.from_pem(secrets[name].encode()) for name in (BUNDLE_KEY, EVENTS_KEY)}
    former = (
        signers[BUNDLE_KEY].public_key("former-trainer"),
        signers[EVENTS_KEY].public_key("former-api", events_only=True),
    )
    # Before the new keys, so that no moment lacks the former ones.
    _store_other_keys(folder, _other_keys(folder) + "".join(f"{key}\n" for key in former))
    renewed = {name: new_private_key() for name in signers}
    try:
        for name, key in renewed.items():
            write_secret(folder / KEPT / name, key)
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be written: {error.strerror}") from error
    return {**secrets, **renewed}


def forget(folder: Path) -> None:
    """Stop trusting all keys but the stack's own.

    Raises:
        StackError: the volume cannot be written.
    """
    _store_other_keys(folder, "")


def _other_keys(folder: Path) -> str:
    path = folder / KEPT / OTHER_KEYS
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be used: {error.strerror}") from error


def _store_other_keys(folder: Path, content: str) -> None:
    try:
        write_secret(folder / KEPT / OTHER_KEYS, content)
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be written: {error.strerror}") from error


def shares(secrets: Mapping[str, str], trusted: str) -> dict[str, dict[str, str]]:
    """Return the files of each service: from service to content by file name.

    Args:
        secrets: the secrets.
        trusted: the content of the file of trusted keys.
    """
    database = "postgresql://slipway:{slipway-password}@postgres:5432/slipway".format_map(secrets)
    runs = "postgresql+psycopg2://mlflow:{mlflow-password}@postgres:5432/mlflow".format_map(secrets)
    # The format of AWS's own clients.
    keys = (
        "[default]\n"
        f"aws_access_key_id = {secrets['s3-access-key']}\n"
        f"aws_secret_access_key = {secrets['s3-secret-key']}\n"
    )

    def pick(*names: str) -> dict[str, str]:
        return {name: secrets[name] for name in names}

    return {
        "api": {
            **pick("secret-key", "admin-password", EVENTS_KEY),
            "database-url": database,
            TRUSTED_KEYS: trusted,
        },
        "init": {
            **pick("admin-password", "grafana-password", BUNDLE_KEY),
            "database-url": database,
            "aws-credentials": keys,
            TRUSTED_KEYS: trusted,
        },
        "trainer": {"aws-credentials": keys, **pick(BUNDLE_KEY), TRUSTED_KEYS: trusted},
        "objects": {"aws-credentials": keys},
        "mlflow": {"backend-store-uri": runs, "aws-credentials": keys},
        "minio": pick("s3-access-key", "s3-secret-key"),
        "postgres": pick("postgres-password", "slipway-password", "mlflow-password", "monitor-password"),
        "postgres-exporter": pick("monitor-password"),
        "grafana": pick("grafana-password"),
    }


def share(folder: Path, service: str, files: Mapping[str, str]) -> list[str]:
    """Write a service's files, readable for any account, because the service can see only its own folder.

    Signing keys are readable only for this account, which the services that sign have, too.

    Returns:
        The names of the files that existed and have changed.

    Raises:
        StackError: the volume cannot be written.
    """
    place = folder / service
    try:
        place.mkdir(exist_ok=True)
        place.chmod(READABLE_FOLDER)
        changed = []
        for name, content in files.items():
            path = place / name
            if path.exists() and path.read_text(encoding="utf-8") != content:
                changed.append(name)
            write_secret(path, content)
            path.chmod(OWNED_FILE if name in {BUNDLE_KEY, EVENTS_KEY} else READABLE_FILE)
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be written: {error.strerror}") from error
    return changed
