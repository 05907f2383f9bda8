"""Who runs a command, for the histories that it writes to."""

import getpass
import os


def current_user() -> str:
    """Return the account's name; of an account without one, as a container's may be, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
