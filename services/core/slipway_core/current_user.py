"""The name of the account that runs a command, recorded in histories."""

import getpass
import os


def current_user() -> str:
    """Return the account's name, or its number if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
