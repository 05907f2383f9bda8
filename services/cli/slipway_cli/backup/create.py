"""Create a backup of the stack: the two databases, then the object store.

This order matters: MLflow stores a file before its database refers to it, so every file in the dumps is included.
"""

import tempfile
from collections.abc import Collection
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import slipway_core
from slipway_cli.backup.archive import DATABASES, About, Writer, new_backup
from slipway_cli.backup.databases import SERVICE, dump
from slipway_cli.docker.compose_project import ComposeProject
from slipway_cli.errors import BackupError, StackError
from slipway_cli.tar_streams.object_stream import END_FILE, TOTAL_FILE, ObjectCount, read_count
from slipway_cli.tar_streams.streams import Counted
from slipway_cli.tar_streams.tars import DAMAGE, reading_tar
from slipway_core.storage import Readable

# The job that copies objects, with access to the object store.
MOVER = "objects"
# The job whose configuration names the buckets, because it creates them.
INIT = "init"
OBJECT_STORE = "minio"
BUCKET_OPTION = "--bucket="


class Watch(Protocol):
    """Receives the progress of long work."""

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Start a new step; its size may be unknown."""
        ...

    def at(self, done_bytes: int) -> None:
        """Set how many bytes of the step are done."""
        ...


def create_backup(project: ComposeProject, path: Path, now: datetime, watch: Watch) -> ObjectCount:
    """Write a backup of the running stack to a file.

    Args:
        project: the stack.
        path: the file; an existing file is replaced once the backup is complete.
        now: the creation time to record in the backup.
        watch: receives the progress.

    Returns:
        The number of objects in the backup.

    Raises:
        SlipwayError: Docker, a service or the disk failed; the file is unchanged.
    """
    config = project.config()
    locations = locations_of(config)
    running = project.running()
    for service in stores_of(config):
        if service not in running:
            raise StackError(
                f"the service {service} is not running: start the stack with `docker compose up --detach --wait`"
            )
    about = About(slipway_version=slipway_core.__version__, created_at=now, locations=locations)
    with new_backup(path, about) as writer:
        for database in DATABASES:
            watch.begin(f"Dumping the database {database}")
            with tempfile.TemporaryFile(dir=path.parent) as spool:
                size_bytes = dump(project, database, spool)
                spool.seek(0)
                writer.add(f"{database}.sql", size_bytes, spool)
        return _add_objects(project, locations, writer, watch)


def _add_objects(project: ComposeProject, locations: Collection[str], writer: Writer, watch: Watch) -> ObjectCount:
    watch.begin("Fetching the objects")
    with project.running_job(MOVER, "objects-out", *locations) as call:
        try:
            return _relay(call.stdout, writer, watch)
        except DAMAGE as error:
            # Raises the job's own error, if it reported one.
            call.finish()
            raise BackupError("the transfer of the objects was interrupted: try again") from error


def _relay(stream: Readable, writer: Writer, watch: Watch) -> ObjectCount:
    """Add every object of the job's stream to the backup.

    Raises:
        EOFError: or another exception of `DAMAGE`: the stream is incomplete.
    """
    done = ObjectCount()
    with reading_tar(stream) as tar:
        if (first := tar.next()).name != TOTAL_FILE:
            raise EOFError
        watch.begin("Fetching the objects", read_count(first).size_bytes)
        while (file := tar.next()).name != END_FILE:
            before = done.size_bytes
            content = Counted(file.content, partial(_report_progress, watch, before))
            writer.add(file.name, file.size_bytes, content)
            done = ObjectCount(files=done.files + 1, size_bytes=before + file.size_bytes)
        if read_count(file) != done:
            raise EOFError
    return done


def _report_progress(watch: Watch, before: int, read: int) -> None:
    watch.at(before + read)


def stores_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the services whose data is backed up. External object stores are not included."""
    return tuple(service for service in (SERVICE, OBJECT_STORE) if service in config["services"])


def locations_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the object store locations to back up: the stack's buckets, and MLflow's own location if it differs.

    Args:
        config: the stack's configuration, as printed by `docker compose config`.

    Raises:
        StackError: the stack is not Slipway's.
    """
    services = config.get("services", {})
    if not {SERVICE, INIT, "mlflow", "api"} <= services.keys():
        raise StackError(
            "the compose project in this folder is not Slipway's: change to Slipway's folder, or set it with "
            "--project-directory"
        )
    buckets = {
        argument.removeprefix(BUCKET_OPTION)
        for argument in services[INIT]["command"]
        if argument.startswith(BUCKET_OPTION)
    }
    artifacts = services["mlflow"]["environment"].get("MLFLOW_ARTIFACTS_DESTINATION", "")
    location = artifacts.removeprefix("s3://").strip("/")
    if artifacts.startswith("s3://") and location.partition("/")[0] not in buckets:
        buckets.add(location)
    return tuple(sorted(buckets))
