"""Check the external stores of the embedded stack's MLflow: a database for runs, a bucket or folder for artifacts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from slipway_cli.doctor.connection_errors import explain_connection_error
from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok
from slipway_cli.doctor.machine import nearest, why_not_writable
from slipway_cli.doctor.timeouts import within
from slipway_cli.embedded.store_checks import verify_artifact_store, verify_database
from slipway_cli.embedded.stores import artifacts_destination, backend_store_uri
from slipway_cli.errors import StackError
from slipway_core.errors import ConfigurationError

if TYPE_CHECKING:
    from slipway_cli.settings import UpSettings

RUNS = "MLflow's database"
RUNS_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLflow's artifacts"
ARTIFACTS_VARIABLE = "MLFLOW_ARTIFACTS_DESTINATION"
S3 = "s3://"
# The S3 client retries for more than a minute.
BUCKET_SECONDS = 6.0
BUCKET_SILENT = f"the S3 server does not respond within {BUCKET_SECONDS:.0f} s"
BUCKET_SILENT_MEND = (
    "check that it runs, its address in AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL, and that no firewall drops the "
    "packets"
)


def check_runs_database(context: DoctorContext) -> Iterator[Finding]:
    """Open the database of MLFLOW_BACKEND_STORE_URI, if it is set for the embedded stack."""
    if context.settings.mlflow_backend_store_uri is None or not context.is_at_embedded_address:
        return
    try:
        uri = backend_store_uri(_without_wrong_database_url(context.settings), context.home)
    except ConfigurationError as error:
        yield broken(
            RUNS,
            str(error).partition("; ")[0],
            f"set {RUNS_VARIABLE} to a database for MLflow alone, as postgresql://USER:PASSWORD@HOST/NAME, or unset "
            f"it: runs are then stored in {context.home.root}",
        )
        return
    from sqlalchemy.engine import make_url  # noqa: PLC0415  # SQLAlchemy would slow down every command

    backend = make_url(uri).get_backend_name()
    if backend == "sqlite":
        yield _check_sqlite(make_url(uri).database)
        return
    messages: list[str] = []
    try:
        verify_database(uri, messages.append)
    except StackError as error:
        refused = backend == "postgresql" and messages
        yield broken(RUNS, *(explain_connection_error(messages[0], RUNS_VARIABLE) if refused else halves(str(error))))
    else:
        yield ok(RUNS, f"the database of {RUNS_VARIABLE} can be opened ({backend})")


def check_artifacts_destination(context: DoctorContext) -> Iterator[Finding]:
    """Access the bucket or folder of MLFLOW_ARTIFACTS_DESTINATION, if it is set for the embedded stack."""
    if context.settings.mlflow_artifacts_destination is None or not context.is_at_embedded_address:
        return
    destination = artifacts_destination(context.settings, context.home)
    shown = _shown(destination)
    if destination.startswith(S3):
        try:
            within(BUCKET_SECONDS, lambda: verify_artifact_store(destination))
        except TimeoutError:
            yield broken(ARTIFACTS, f"{ARTIFACTS_VARIABLE} cannot be used: {BUCKET_SILENT}", BUCKET_SILENT_MEND)
        except StackError as error:
            yield broken(ARTIFACTS, *halves(str(error)))
        else:
            yield ok(ARTIFACTS, f"{shown} can be reached")
    elif (folder := _folder(destination)) is None:
        yield ok(ARTIFACTS, f"skipped: {shown} is neither a folder nor S3, so only MLflow can access it")
    elif why := why_not_writable(nearest(folder)):
        yield broken(
            ARTIFACTS,
            f"{folder} cannot be written ({why})",
            f"make it writable for this account, or set {ARTIFACTS_VARIABLE} to another folder or s3://BUCKET/PREFIX",
        )
    else:
        yield ok(ARTIFACTS, f"{folder} is writable")


def where_artifacts_are(context: DoctorContext) -> str:
    """Return what to check if the embedded stack's MLflow cannot store a file."""
    destination = artifacts_destination(context.settings, context.home)
    shown, log = _shown(destination), f"{context.home.logs / 'mlflow.log'} has details"
    if destination.startswith(S3):
        return (
            f"check that {shown} of {ARTIFACTS_VARIABLE} exists and is writable, and check AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL; {log}"
        )
    if (folder := _folder(destination)) is None:
        return f"check {shown} of {ARTIFACTS_VARIABLE}; {log}"
    return f"check that {folder} is a folder that this account can write; {log}"


def halves(sentence: str) -> tuple[str, str]:
    """Split the message of a store's error at its last colon: into the problem and how to fix it."""
    what, _, mend = sentence.rpartition(": ")
    return (what, mend) if what else (mend, "check the variable that sets it")


def _check_sqlite(file: str | None) -> Finding:
    """Check the SQLite file of runs, which MLflow creates with its folder; the path is usually absolute."""
    if not file or not file.startswith("/"):
        return ok(RUNS, f"the database of {RUNS_VARIABLE} is SQLite")
    folder = Path(file).parent
    if why := why_not_writable(nearest(folder)):
        return broken(
            RUNS,
            f"the folder {folder} of its SQLite file cannot be written ({why})",
            f"make it writable for this account, or set {RUNS_VARIABLE} to another file",
        )
    return ok(RUNS, f"{folder} is writable")


def _without_wrong_database_url(settings: "UpSettings") -> "UpSettings":
    """Return the settings without an invalid DATABASE_URL, which another check reports."""
    from slipway_core.database import database_url  # noqa: PLC0415  # as above

    if settings.database_url is None:
        return settings
    try:
        database_url(settings.database_url.get_secret_value())
    except ConfigurationError:
        return settings.model_copy(update={"database_url": None})
    return settings


def _shown(destination: str) -> str:
    """Return a destination as it may be printed: only the scheme of a URL that could contain a password."""
    is_plain = _folder(destination) is not None or (destination.startswith(S3) and "@" not in destination)
    return destination if is_plain else f"{destination.partition(':')[0]}://…"


def _folder(destination: str) -> Path | None:
    """Return the folder of a destination; None if it is something else."""
    if destination.startswith("file:"):
        return Path(unquote(urlsplit(destination).path))
    return None if ":/" in destination else Path(destination)
