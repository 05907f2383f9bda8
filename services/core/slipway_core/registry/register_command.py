"""The command that makes a version of another tool servable."""

import shlex


def register_command(name: str, version: str, *, trust: bool) -> str:
    """Return the command that registers a version as a bundle of Slipway.

    Args:
        name: the registered model.
        version: its version.
        trust: whether loading the version executes its code, as pickles do; the user must then allow it.
    """
    words = ["slipway", "register", name, "--model", f"models:/{name}/{version}", *(["--trust"] if trust else [])]
    return shlex.join(words)
