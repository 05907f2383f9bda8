"""The name of the account that runs a command, for histories."""

import getpass
import os


def current_user() -> str:
    """Return the account's name, or its number if it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
