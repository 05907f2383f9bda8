"""Check that secrets are strong, and that only their owner can read them."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.findings import Finding, broken, ok, warning
from slipway_core.policy import why_key_is_unsafe, why_password_is_unsafe


def check_key(context: DoctorContext) -> Iterator[Finding]:
    """Check the key that signs tokens, if it is set."""
    key = context.settings.secret_key
    if key is None:
        if context.is_embedded or context.stack_runs:
            yield ok("SECRET_KEY", "not set: `slipway up` stores a random key in its folder")
        else:
            yield warning(
                "SECRET_KEY",
                "is not set, so `slipway-api serve` does not start; `slipway up` does not need it",
                "if you run `slipway-api serve`, `slipway env --output .env` generates a random key; to check the "
                "stack of `slipway up` instead, pass its --home, --port and --mlflow-port to `slipway doctor`",
            )
        return
    why = why_key_is_unsafe(key.get_secret_value())
    yield _finding(context, "SECRET_KEY", why)


def check_password(context: DoctorContext) -> Iterator[Finding]:
    """Check the first administrator's password, if it is set."""
    given = context.settings.admin_password
    if given is None:
        return
    why = why_password_is_unsafe(given.get_secret_value(), context.settings.admin_username)
    yield _finding(context, "SLIPWAY_ADMIN_PASSWORD", why)


def check_kept_files(context: DoctorContext) -> Iterator[Finding]:
    """Check the folder of the embedded stack, and the secrets in it."""
    yield from _home_folder(context.home.root)
    for path, hint in (
        (context.home.key_file, "all users must then log in again"),
        (context.home.password_file, "the password of the existing account does not change"),
    ):
        yield from _kept_file(path, hint)


def _home_folder(root: Path) -> Iterator[Finding]:
    try:
        found = root.stat()
    except OSError:
        return  # `slipway up` creates it, or another check reports it
    quoted = shlex.quote(str(root))
    if not stat.S_ISDIR(found.st_mode):
        return
    if found.st_uid != os.geteuid():
        yield broken(
            "home folder's owner",
            f"{root} belongs to another account (user id {found.st_uid})",
            f"change the owner with `sudo chown -R $(id -un) {quoted}`, or choose another folder with --home",
        )
    elif found.st_mode & 0o077:
        yield warning(
            "home folder's mode",
            f"other accounts have access to {root}",
            f"make it private with `chmod 700 {quoted}`",
        )


def _finding(context: DoctorContext, variable: str, why: str | None) -> Finding:
    if why is None:
        return ok(variable, "set, and strong enough")
    mend = f"replace {variable} with the random one that `slipway env` prints"
    if context.settings.env == "development":
        return warning(variable, f"{why}; only SLIPWAY_ENV=development allows it", mend)
    return broken(variable, why, mend)


def _kept_file(path: Path, hint: str) -> Iterator[Finding]:
    quoted = shlex.quote(str(path))
    try:
        mode = path.stat().st_mode
        content = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return  # `slipway up` creates it
    except (OSError, UnicodeDecodeError):
        yield broken(
            path.name,
            f"{path} cannot be read",
            f"change its owner with `sudo chown $(id -un) {quoted}`, or remove it and run `slipway up`",
        )
        return
    if not content:
        yield broken(path.name, f"{path} is empty", f"remove it with `rm {quoted}`: `slipway up` creates one; {hint}")
    elif mode & 0o077:
        yield broken(path.name, f"other accounts can read {path}", f"make it private with `chmod 600 {quoted}`")
    else:
        yield ok(path.name, "only its owner can read it")
