"""The secrets of the compose stack: random where none is given, kept in a volume, and given to who needs them.

The volume holds each secret once in `kept/`, which no other service sees, and a folder for each service, which is all
that the service sees of it. The files there are written anew at each start.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from slipway_cli.errors import StackError
from slipway_core.atomic_file import write_secret
from slipway_core.policy import new_key, new_password, why_key_is_unsafe, why_password_is_unsafe

KEPT = "kept"
# Services that take a changed secret when they start again; with others it is changed in the program.
READ_AT_START = frozenset({"api", "mlflow", "minio", "alertmanager"})
READABLE_FILE, READABLE_FOLDER = 0o444, 0o755


class Secret(NamedTuple):
    """A secret of the stack.

    Attributes:
        variable: what a person sets it by; None for what only services tell each other.
        make: a random one.
        why_refused: from one that is given to what is wrong with it, as the end of a sentence; None if nothing is.
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
}


def keep_secrets(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return every secret: the given one, else the kept one, else a new one; each is kept.

    Args:
        folder: the volume.
        given: the environment; an empty variable gives nothing.

    Raises:
        StackError: a given one is refused, and nothing of it kept; or the volume cannot be read or written.
    """
    for secret in SECRETS.values():
        value = given.get(secret.variable or "", "").strip()
        if value and (why := secret.why_refused(value)):
            raise StackError(f"{secret.variable} {why}; left out, it stays as it was, and at the first start is random")
    kept = open_kept(folder)
    try:
        return {name: _kept(kept / name, secret, given) for name, secret in SECRETS.items()}
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be used: {error.strerror}") from error


def open_kept(folder: Path) -> Path:
    """Return the folder of the volume that no other service sees; it is made if it is missing.

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


def shares(secrets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the files of each service: from the service to the content of its files by name."""
    database = "postgresql://slipway:{slipway-password}@postgres:5432/slipway".format_map(secrets)
    runs = "postgresql+psycopg2://mlflow:{mlflow-password}@postgres:5432/mlflow".format_map(secrets)
    # What AWS's own clients read.
    keys = (
        "[default]\n"
        f"aws_access_key_id = {secrets['s3-access-key']}\n"
        f"aws_secret_access_key = {secrets['s3-secret-key']}\n"
    )

    def pick(*names: str) -> dict[str, str]:
        return {name: secrets[name] for name in names}

    return {
        "api": {**pick("secret-key", "admin-password"), "database-url": database},
        "init": {**pick("admin-password", "grafana-password"), "database-url": database, "aws-credentials": keys},
        "trainer": {"aws-credentials": keys},
        "objects": {"aws-credentials": keys},
        "mlflow": {"backend-store-uri": runs, "aws-credentials": keys},
        "minio": pick("s3-access-key", "s3-secret-key"),
        "postgres": pick("postgres-password", "slipway-password", "mlflow-password", "monitor-password"),
        "postgres-exporter": pick("monitor-password"),
        "grafana": pick("grafana-password"),
    }


def share(folder: Path, service: str, files: Mapping[str, str]) -> list[str]:
    """Write a service's files, for whatever account it runs as: the folder is all that it sees of the volume.

    Returns:
        Those that were there before, and are others now.

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
            path.chmod(READABLE_FILE)
    except OSError as error:
        raise StackError(f"the volume of secrets cannot be written: {error.strerror}") from error
    return changed
