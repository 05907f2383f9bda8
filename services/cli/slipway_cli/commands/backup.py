"""`slipway backup` and `slipway restore`: the databases and objects of the compose stack, in one file."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from slipway_cli.errors import BackupError
from slipway_core.settings import refuse_unknown_variables

if TYPE_CHECKING:
    from slipway_cli.compose.docker import ComposeProject

ProjectDirectory = Annotated[
    Path | None,
    typer.Option(
        help="The folder of the stack's docker-compose.yml; else it is looked for from here upwards. "
        "COMPOSE_PROJECT_NAME names another stack than `slipway`."
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as `slipway-2026-11-20.tar.gz`.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")] = False,
    project_directory: ProjectDirectory = None,
) -> None:
    """Write accounts, predictions, runs, models and data of the compose stack to one file, while it goes on.

    Keep it safe: it holds models, what users sent, and the hashes of passwords. The stack's own secrets are not in it.
    Example: `slipway backup slipway-2026-11-20.tar.gz`
    """
    # What they need would slow down every other command.
    from slipway_cli.compose.backup import backup as write_backup  # noqa: PLC0415
    from slipway_cli.compose.interruption import interruptible  # noqa: PLC0415

    if file.is_dir():
        raise BackupError(f"{file} is a folder: name a file in it")
    if file.exists() and not force:
        raise BackupError(f"{file} exists and is left as it is: name another file, or replace it with --force")
    with interruptible(_tell, "the backup was interrupted; nothing of it is left"):
        project = _project(project_directory)
        with _shown() as bar:
            objects = write_backup(project, file, datetime.now(UTC), bar)
    typer.echo(
        f"Wrote {file}: {decimal(file.stat().st_size)}, both databases and {objects.files} "
        f"object{'s'[: objects.files != 1]}. Keep it safe: it holds models, what users sent, and password hashes."
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `slipway backup` wrote.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project_directory: ProjectDirectory = None,
) -> None:
    """Replace accounts, predictions, runs and models of the compose stack by those of a backup.

    The file is verified whole before anything is touched. API and MLflow stand still meanwhile, and are started again.
    Restore only files that you know: the SQL in them is run. Example: `slipway restore slipway-2026-11-20.tar.gz`
    """
    from slipway_cli.compose.archive import read_about, verify  # noqa: PLC0415
    from slipway_cli.compose.interruption import interruptible  # noqa: PLC0415
    from slipway_cli.compose.restore import AS_THEY_WERE, INTERRUPTED, check_fits  # noqa: PLC0415
    from slipway_cli.compose.restore import restore as put_back  # noqa: PLC0415

    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("without a terminal to ask at, say that the stack may be replaced", param_hint="--yes")
    with interruptible(_tell, f"{INTERRUPTED}; {AS_THEY_WERE}"):
        project = _project(project_directory)
        check_fits(project, read_about(file))
        with _shown() as bar:
            bar.begin("Verifying the backup", file.stat().st_size)
            about = verify(file, bar.at)
        when = f"{about.created_at:%Y-%m-%d %H:%M} UTC"
        if not yes:
            typer.confirm(
                f"Replace all accounts, predictions, runs and models of the stack by those of {when}?", abort=True
            )
        with _shown() as bar:
            is_served = put_back(project, file, about, bar)
    typer.echo(f"Restored the backup of {when}.")
    if not is_served:
        typer.echo("The API did not run before: `docker compose up --detach --wait` starts the whole stack.")


def _project(folder: Path | None) -> "ComposeProject":
    from slipway_cli.compose.docker import find_project  # noqa: PLC0415

    refuse_unknown_variables(os.environ)
    return find_project((folder or Path()).absolute())


class Bar:
    """A line that tells how far the work is; on a terminal alone."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Show a new part of the work."""
        self._progress.reset(self._task, total=total_bytes, description=what)

    def at(self, done_bytes: int) -> None:
        """Show how much of it is done."""
        self._progress.update(self._task, completed=done_bytes)


class Lasting(io.TextIOBase):
    """Standard error as it is now; once its terminal is gone, what is written is lost, and the work goes on."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    @property
    def encoding(self) -> str:  # type: ignore[override]  # what bars are drawn with depends on it
        """How texts are encoded."""
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        """Write a text, if anybody is there."""
        try:
            self._stream.write(text)
        except OSError:
            self._let_go()
        return len(text)

    def flush(self) -> None:
        """Let what was written be seen."""
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def isatty(self) -> bool:
        """Tell whether somebody may look at it."""
        return self._stream.isatty()

    def _let_go(self) -> None:
        # What the stream still holds must go somewhere, or the interpreter's end fails for it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def _tell(sentence: str) -> None:
    typer.echo(f"Error: {sentence}", file=_standard_error())


def _standard_error() -> IO[str]:
    return cast("IO[str]", Lasting())


@contextmanager
def _shown() -> Iterator[Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Progress is for a terminal, and not part of what is printed.
    console = Console(file=_standard_error())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress)
