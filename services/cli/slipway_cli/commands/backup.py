"""`slipway backup` and `slipway restore`: the databases and objects of the compose stack, in one file."""

import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from slipway_cli.embedded.home import Home
from slipway_cli.errors import BackupError, StackError
from slipway_cli.output import echo
from slipway_cli.progress import print_error, progress_bar
from slipway_cli.settings import HomeSettings
from slipway_core.plurals import count_of
from slipway_core.settings import load_settings

if TYPE_CHECKING:
    from slipway_cli.docker.compose_project import ComposeProject

ProjectDirectory = Annotated[
    Path | None,
    typer.Option(
        help="The folder of the stack's docker-compose.yml. Defaults to the nearest one from the current folder "
        "upwards. Set COMPOSE_PROJECT_NAME for a stack not named `slipway`."
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as `slipway-2026-11-20.tar.gz`.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")] = False,
    project_directory: ProjectDirectory = None,
) -> None:
    """Write the compose stack's accounts, predictions, runs, models and data to one file. The stack keeps running.

    Keep the file safe: it contains models, users' inputs and password hashes, but not the stack's own secrets.
    Example: `slipway backup slipway-2026-11-20.tar.gz`
    """
    # Imported here, as these modules would slow down every other command.
    from slipway_cli.backup.create import create_backup  # noqa: PLC0415
    from slipway_cli.backup.interruption import interruptible  # noqa: PLC0415

    if file.is_dir():
        raise BackupError(f"{file} is a folder: name a file in it")
    if not file.parent.is_dir():
        raise BackupError(f"the folder {file.parent} does not exist: create it, or choose another folder")
    if file.exists() and not force:
        raise BackupError(f"{file} already exists: choose another name, or replace it with --force")
    with interruptible(print_error, "the backup was interrupted; the incomplete file was removed"):
        project = _project(project_directory, "slipway backup", "copy its folder: cp -a {home} COPY")
        with progress_bar() as bar:
            objects = create_backup(project, file, datetime.now(UTC), bar)
    echo(
        f"Wrote {file}: {decimal(file.stat().st_size)}, both databases and "
        f"{count_of(objects.files, 'object')}. Keep it safe: it contains models, users' inputs and password hashes."
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `slipway backup` wrote.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")] = False,
    project_directory: ProjectDirectory = None,
) -> None:
    """Replace the compose stack's accounts, predictions, runs and models with those of a backup.

    Also adds the data files of the backup; other data files remain. The whole file is verified before any change. The
    API and MLflow are stopped during the restore, then restarted. Restore only files that you trust: their SQL is
    executed. Example: `slipway restore slipway-2026-11-20.tar.gz`
    """
    from slipway_cli.backup.archive import read_about, verify  # noqa: PLC0415
    from slipway_cli.backup.interruption import interruptible  # noqa: PLC0415
    from slipway_cli.backup.restore import (  # noqa: PLC0415
        INTERRUPTED,
        UNCHANGED,
        check_fits,
        restore_backup,
    )

    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter(
            "pass it to confirm the restore, because standard input is not a terminal", param_hint="--yes"
        )
    with interruptible(print_error, f"{INTERRUPTED}; {UNCHANGED}"):
        project = _project(
            project_directory, "slipway restore", "rename its folder {home}, and copy the backup of the folder there"
        )
        check_fits(project, read_about(file))
        with progress_bar() as bar:
            bar.begin("Verifying the backup", file.stat().st_size)
            about = verify(file, bar.at)
        when = f"{about.created_at:%Y-%m-%d %H:%M} UTC"
        if not yes:
            typer.confirm(
                f"Replace all accounts, predictions, runs and models of the stack with those of {when}?", abort=True
            )
        with progress_bar() as bar:
            is_served = restore_backup(project, file, about, bar)
    echo(f"Restored the backup of {when}.")
    if not is_served:
        echo("The API was not running before: `docker compose up --detach --wait` starts the whole stack.")


def _project(folder: Path | None, command: str, instead: str) -> "ComposeProject":
    """Return the compose project.

    Args:
        folder: where to search.
        command: the calling command.
        instead: what to do with the folder `{home}` of `slipway up`, which the command does not support.

    Raises:
        StackError: no project is found, or none of its services runs and `slipway up` does.
    """
    from slipway_cli.docker.compose_project import find_project  # noqa: PLC0415

    home = Home(load_settings(HomeSettings).home.expanduser().absolute())
    start = (folder or Path()).absolute()
    if not home.is_locked():
        return find_project(start)
    with suppress(StackError):  # also if Docker is not installed
        project = find_project(start)
        if project.running():
            return project
    raise StackError(
        f"`{command}` supports the stack of docker compose only, and the running stack is that of `slipway up`: stop "
        f"it with Ctrl-C, then {instead.format(home=shlex.quote(str(home.root)))} (see docs/backup.md)"
    )
