"""The rules for names and secrets. The API enforces them; the command line checks them in advance."""

import re
import secrets

from slipway_core.ids import read_id
from slipway_core.weak_secrets import COMMON_PASSWORDS, KNOWN_KEYS, is_made_of_runs, is_run, period

# Of an account, in lower case.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_RULE = "a name is 1 to 64 of a–z, 0–9, `.`, `_`, `@`, `-`, and begins with a letter or digit"
# `/users/me` and `/users/events` are other routes.
RESERVED_NAMES = frozenset({"events", "me"})

MIN_KEY_BYTES = 32
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128
MIN_PASSWORD_VARIETY = 3

_PLACEHOLDER_WORDS = (
    "change",
    "example",
    "placeholder",
    "secret-key",
    "secret_key",
    "your-",
    "your_",
    "insecure",
)


def new_key() -> str:
    """Return a random key of 384 bits, as text that needs no quoting."""
    return secrets.token_urlsafe(48)


def new_password() -> str:
    """Return a random password of 120 bits, as text that needs no quoting."""
    return secrets.token_urlsafe(15)


def why_name_is_refused(name: str) -> str | None:
    """Return why a lower-case name is not allowed for an account, as a sentence; None if it is allowed."""
    if not NAME_PATTERN.fullmatch(name):
        return NAME_RULE
    if name in RESERVED_NAMES:
        return f"no account can have the name {name}: /users/{name} is another route; choose another name"
    if read_id(name) is not None:
        return "no account can have a UUID as its name: it could be the id of another account; choose another name"
    return None


def why_key_is_unsafe(key: str) -> str | None:
    """Return why a signing key is unsafe, as the end of a sentence; None if it is safe."""
    if len(key.encode()) < MIN_KEY_BYTES:
        return f"is shorter than {MIN_KEY_BYTES} bytes"
    if len(set(key)) < MIN_KEY_BYTES // 4:
        return "repeats too few characters to be random"
    if _is_placeholder(key):
        return "is a placeholder"
    if key.lower() in KNOWN_KEYS:
        return "is a well-known example"
    if is_made_of_runs(key) or _repeats_a_short_piece(key):
        return "is a sequence or a repetition, which can be guessed"
    return None


def why_password_is_unsafe(password: str, username: str) -> str | None:
    """Return why a password is unsafe, as the end of a sentence; None if it is safe."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        return f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters"
    if password.lower() == username.lower():
        return "must differ from the user's name"
    if len(set(password.lower())) < MIN_PASSWORD_VARIETY:
        return f"must have at least {MIN_PASSWORD_VARIETY} different characters"
    if password.lower() in COMMON_PASSWORDS or is_run(password):
        return "is a common password"
    return None


def is_placeholder_password(password: str) -> bool:
    """Return whether a configured password was copied from an example."""
    return password.lower().replace("-", "").replace("_", "").startswith(("changeme", "example", "placeholder"))


def _repeats_a_short_piece(key: str) -> bool:
    length = period(key)
    return 2 * length <= len(key) and len(key[:length].encode()) < MIN_KEY_BYTES


def _is_placeholder(text: str) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in _PLACEHOLDER_WORDS)
