"""Restore a backup into the stack.

Objects are added and databases loaded first, and only then are both databases committed: what fails before leaves the
stack's runs, models, accounts and predictions as they were. Objects that are not in the backup stay.
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

# What writes to the databases, in the order in which it is started.
REGISTRY, API = "mlflow", "api"
INTERRUPTED = "the restore was interrupted"
AS_THEY_WERE = "the databases are as they were"
UPGRADE_REGISTRY = 'exec mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"'


def check_fits(project: ComposeProject, about: About) -> None:
    """Refuse a backup that this stack cannot take, before anything is changed.

    Raises:
        BackupError: it is of a newer release, or of a stack that keeps its objects elsewhere.
        StackError: Docker does not answer, or it is another stack than Slipway's.
    """
    if _release(about.slipway_version) > _release(slipway_core.__version__):
        raise BackupError(
            f"the backup was made by Slipway {about.slipway_version}, and this is {slipway_core.__version__}: restore "
            "it with that release or a newer one"
        )
    config = project.config()
    if elsewhere := sorted(set(about.locations) - set(locations_of(config))):
        raise BackupError(
            f"the backup has objects of s3://{elsewhere[0]}, which this stack does not use: set "
            "MLFLOW_ARTIFACTS_DESTINATION as it was in the stack of the backup"
        )


def restore_backup(project: ComposeProject, path: Path, about: About, watch: Watch) -> bool:
    """Replace what the stack's databases hold by what a backup does, and put its objects back.

    Args:
        project: the stack; stores that do not run are started.
        path: the backup, which was verified.
        about: what it tells of itself.
        watch: receives the progress.

    Returns:
        Whether the API runs: it is started again if it ran before.

    Raises:
        SlipwayError: it failed; the sentence says in which state things are.
    """
    watch.begin("Starting the stores")
    project.start(stores_of(project.config()), with_others=True)
    running = project.running()
    stopped = [service for service in (REGISTRY, API) if service in running]
    committed: list[str] = []
    try:
        with ExitStack() as rest:
            watch.begin("Stopping what uses them")
            # Docker goes on with a stop whose command has ended, and what has not stopped yet passes for running.
            with deferred_signals():
                project.stop(stopped)
            _load(project, path, about, watch, committed, rest)
            _bring_up_to_date(project, watch)
            if API in stopped:
                watch.begin("Starting the API")
                project.start([API])
    # Of the system: a disk that is full, for one.
    except (SlipwayError, OSError, KeyboardInterrupt) as error:
        with deferred_signals():
            watch.begin("Starting again what was stopped")
            raise BackupError(f"{str(error) or INTERRUPTED}; {_state(project, error, committed, stopped)}") from error
    return API in stopped


def _load(
    project: ComposeProject, path: Path, about: About, watch: Watch, committed: list[str], rest: ExitStack
) -> None:
    """Load all of a backup.

    Args:
        project: the stack.
        path: the backup.
        about: what it tells of itself.
        watch: receives the progress.
        committed: gets each database that shows the new content.
        rest: is left when the restore is done: from the first commit on the one way is forward, and signals wait.
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
        watch.begin("Putting the objects back", size_bytes)
        with project.running_job(MOVER, "objects-in", *about.locations) as call, writing_tar(call.stdin) as tar:
            count = ObjectCount()
            # Their end is where the digests are compared, those of the dumps, too.
            for part in read:
                tar.add(part.name, part.size_bytes, part.content)
                count = ObjectCount(files=count.files + 1, size_bytes=count.size_bytes + part.size_bytes)
            add_count(tar, END_FILE, count)
        rest.enter_context(deferred_signals())
        for database, session in zip(DATABASES, loaded, strict=True):
            session.commit()
            committed.append(database)


def _state(project: ComposeProject, error: BaseException, committed: Sequence[str], stopped: Sequence[str]) -> str:
    """Return in which state things are after a failure; what was stopped is started, unless the failure is that."""
    if len(committed) == len(DATABASES):
        if isinstance(error, KeyboardInterrupt):
            return "it was too late for that, and the backup is restored"
        return (
            "the backup is restored, and the stack did not come up with it: look at `docker compose logs`, then run "
            "`docker compose up --detach --wait`"
        )
    what = (
        f"the database {committed[0]} is restored and the other one is not, so run the restore again"
        if committed
        else AS_THEY_WERE
    )
    try:
        project.start(stopped)
    except StackError:
        return f"{what}, and {' and '.join(stopped)} did not start again: run `docker compose up --detach --wait`"
    return what


def _bring_up_to_date(project: ComposeProject, watch: Watch) -> None:
    """Change the tables of an older release's backup to those that this one works with."""
    watch.begin("Bringing the tables up to date")
    project.run_job(REGISTRY, "sh", "-c", UPGRADE_REGISTRY)
    project.start([REGISTRY])
    project.run_job(INIT)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
