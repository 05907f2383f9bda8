"""Restore a backup into the stack.

Objects are added and databases loaded first; then both databases are committed. If an earlier step fails, the stack's
runs, models, accounts and predictions stay unchanged. Objects that are not in the backup are kept.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import slipway_core
from slipway_cli.backup.archive import DATABASES, About, parts
from slipway_cli.backup.create import INIT, MOVER, Watch, locations_of, stores_of
from slipway_cli.backup.databases import loading
from slipway_cli.backup.interruption import deferred_signals
from slipway_cli.docker.compose_project import ComposeProject
from slipway_cli.errors import BackupError, StackError
from slipway_cli.tar_streams.object_stream import END_FILE, ObjectCount, add_count
from slipway_cli.tar_streams.tars import writing_tar
from slipway_core.errors import SlipwayError

# The services that write to the databases, in the order of their start.
REGISTRY, API = "mlflow", "api"
INTERRUPTED = "the restore was interrupted"
UNCHANGED = "the databases are unchanged"
UPGRADE_REGISTRY = 'exec mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"'


def check_fits(project: ComposeProject, about: About) -> None:
    """Reject a backup that does not fit this stack, before anything is changed.

    Raises:
        BackupError: the backup is from a newer release, or from a stack with other object store locations.
        StackError: Docker does not respond, or the compose project is not Slipway's.
    """
    if _release(about.slipway_version) > _release(slipway_core.__version__):
        raise BackupError(
            f"the backup was created by Slipway {about.slipway_version}, and this is {slipway_core.__version__}: "
            "restore it with that release or a newer one"
        )
    config = project.config()
    if elsewhere := sorted(set(about.locations) - set(locations_of(config))):
        raise BackupError(
            f"the backup has objects of s3://{elsewhere[0]}, which this stack does not use: set "
            "MLFLOW_ARTIFACTS_DESTINATION to the value of the backed-up stack"
        )


def restore_backup(project: ComposeProject, path: Path, about: About, watch: Watch) -> bool:
    """Replace the content of the stack's databases with that of a backup, and restore its objects.

    Args:
        project: the stack; stores that are not running are started.
        path: the backup, already verified.
        about: the content of its `backup.json`.
        watch: receives the progress.

    Returns:
        Whether the API is running. It is restarted only if it was running before.

    Raises:
        SlipwayError: the restore failed; the message states the resulting state.
    """
    watch.begin("Starting the stores")
    project.start(stores_of(project.config()), with_others=True)
    running = project.running()
    stopped = [service for service in (REGISTRY, API) if service in running]
    committed: list[str] = []
    try:
        with ExitStack() as rest:
            watch.begin("Stopping MLflow and the API")
            # If the command is interrupted, Docker still stops the services, and reports them as running until then.
            with deferred_signals():
                project.stop(stopped)
            _load(project, path, about, watch, committed, rest)
            _bring_up_to_date(project, watch)
            if API in stopped:
                watch.begin("Starting the API")
                project.start([API])
    # OSError: for example, the disk is full.
    except (SlipwayError, OSError, KeyboardInterrupt) as error:
        with deferred_signals():
            watch.begin("Restarting the stopped services")
            raise BackupError(f"{str(error) or INTERRUPTED}; {_state(project, error, committed, stopped)}") from error
    return API in stopped


def _load(
    project: ComposeProject, path: Path, about: About, watch: Watch, committed: list[str], rest: ExitStack
) -> None:
    """Load the whole backup.

    Args:
        project: the stack.
        path: the backup.
        about: the content of its `backup.json`.
        watch: receives the progress.
        committed: receives each committed database.
        rest: receives the context that defers signals from the first commit on, because the restore must then finish.
    """
    with ExitStack() as sessions:
        read = parts(path, watch.at)
        size_bytes = path.stat().st_size
        loaded = []
        for database in DATABASES:
            watch.begin(f"Loading the database {database}", size_bytes)
            session = sessions.enter_context(loading(project, database))
            session.load(next(read).content)
            loaded.append(session)
        watch.begin("Restoring the objects", size_bytes)
        with project.running_job(MOVER, "objects-in", *about.locations) as call, writing_tar(call.stdin) as tar:
            count = ObjectCount()
            # The iterator checks the digests of all parts at its end, including those of the dumps.
            for part in read:
                tar.add(part.name, part.size_bytes, part.content)
                count = ObjectCount(files=count.files + 1, size_bytes=count.size_bytes + part.size_bytes)
            add_count(tar, END_FILE, count)
        rest.enter_context(deferred_signals())
        for database, session in zip(DATABASES, loaded, strict=True):
            session.commit()
            committed.append(database)


def _state(project: ComposeProject, error: BaseException, committed: Sequence[str], stopped: Sequence[str]) -> str:
    """Return the state after a failure. Restart the stopped services unless both databases are committed."""
    if len(committed) == len(DATABASES):
        if isinstance(error, KeyboardInterrupt):
            return "the interruption came too late, and the backup is restored"
        return (
            "the backup is restored, but the stack did not start: see `docker compose logs`, then run "
            "`docker compose up --detach --wait`"
        )
    what = (
        f"the database {committed[0]} is restored and the other one is not: run the restore again"
        if committed
        else UNCHANGED
    )
    try:
        project.start(stopped)
    except StackError:
        return f"{what}, and {' and '.join(stopped)} did not restart: run `docker compose up --detach --wait`"
    return what


def _bring_up_to_date(project: ComposeProject, watch: Watch) -> None:
    """Migrate the tables of a backup from an older release."""
    watch.begin("Migrating the tables")
    project.run_job(REGISTRY, "sh", "-c", UPGRADE_REGISTRY)
    project.start([REGISTRY])
    project.run_job(INIT)
    # This stack may have other keys than the backed-up one, and its API may have followed a later history.
    project.run_job(INIT, "sign-existing", "--unsigned")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
