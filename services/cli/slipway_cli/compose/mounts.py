"""The project's files that containers mount: whether their accounts may read them."""

import os
from pathlib import Path

from slipway_cli.errors import StackError


def require_readable(folder: Path) -> None:
    """Open every file below a folder, as an account that owns none of them.

    PostgreSQL makes its databases at its first start alone: where it cannot read how, it is without them for good. So
    this is asked before anything starts.

    Args:
        folder: what the stack's services mount parts of.

    Raises:
        StackError: naming the first that cannot be read.
    """
    try:
        for place, _, files in os.walk(folder, onerror=_refuse):
            for name in files:
                Path(place, name).open("rb").close()
    except OSError as error:
        name = os.path.relpath(error.filename, folder)
        raise StackError(
            f"the containers may not read {name}: let every account read the project's files, with "
            "`chmod -R o+rX monitoring services/postgres services/caddy data` in its folder"
        ) from error


def _refuse(error: OSError) -> None:
    raise error
