"""Check the project's files that containers mount: their permissions, and the clone that they belong to."""

import os
import re
from pathlib import Path

from slipway_cli.errors import StackError

MOUNTS = Path("/proc/self/mountinfo")
CLONE_FILE = "clone"


def clone_of(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the host's path of the clone whose files are mounted below a folder.

    The kernel lists the source folder of each mount (proc_pid_mountinfo(5)), so no variable has to specify it.

    Args:
        folder: the folder below which the stack's services mount parts of the clone.
        mounts: the kernel's list of mounts.
    """
    for line in mounts.read_text(encoding="utf-8").splitlines():
        source, target = (re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), part) for part in line.split()[3:5])
        below = target.removeprefix(str(folder))
        if below.startswith("/") and below != target and source.endswith(below):
            return source.removesuffix(below)
    return None


def require_own_volume(kept: Path, clone: str | None) -> None:
    """Check that a volume belongs to this clone; assign it if it belongs to none.

    Args:
        kept: a folder in the volume.
        clone: the path of this clone; None if it is unknown.

    Raises:
        StackError: the volume belongs to another clone.
    """
    record = kept / CLONE_FILE
    if clone is None:
        return
    if not record.exists():
        record.write_text(clone, encoding="utf-8")
    elif (owner := record.read_text(encoding="utf-8")) != clone:
        raise StackError(
            f"the volumes of this stack belong to the clone in {owner}, but this clone is in {clone}: for a separate "
            "stack, set COMPOSE_PROJECT_NAME in .env, such as COMPOSE_PROJECT_NAME=slipway-2, and other ports; if this "
            "clone replaces the other, run `docker compose run --rm secrets adopt` first. If the other stack was "
            "running, run `docker compose up` in its folder again"
        )


def require_readable(folder: Path) -> None:
    """Check that an account that owns none of the files below a folder can read them.

    PostgreSQL creates its databases only at its first start. If it cannot read the script then, they stay missing, so
    this check runs before any service starts.

    Args:
        folder: the folder whose parts the stack's services mount.

    Raises:
        StackError: a file cannot be read; the message names the first one.
    """
    try:
        for place, _, files in os.walk(folder, onerror=_refuse):
            for name in files:
                Path(place, name).open("rb").close()
    except OSError as error:
        name = os.path.relpath(error.filename, folder)
        raise StackError(
            f"the containers may not read {name}: make the project's files readable for every account with "
            "`chmod -R o+rX monitoring services/postgres services/caddy data` in its folder"
        ) from error


def _refuse(error: OSError) -> None:
    raise error
