"""The rules for names and secrets. The API enforces them; the command line checks them in advance."""

import re
import secrets
import zlib

from slipway_core.ids import read_id

# Of an account, in lower case.
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_RULE = "a name has 1 to 64 of the characters a–z, 0–9, `.`, `_`, `@` and `-`, and begins with a letter or digit"
# `/users/me` and `/users/events` are other routes.
RESERVED_NAMES = frozenset({"events", "me"})

# The beginning of every API key, by which scanners of leaked secrets recognize them.
API_KEY_PREFIX = "slk_"

MIN_KEY_BYTES = 32
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 128
# zxcvbn rates passwords from 0 to 4; 2 means at least a million guesses.
MIN_PASSWORD_SCORE = 2
# zxcvbn tries all combinations of substitutions such as `4` for `a`: 24 characters take a quarter of a second at most,
# 72 characters 4 s.
ESTIMATED_LENGTH = 24

# Parts of keys that documentation and people use as examples; the last two are from FastAPI's and Flask's.
_EXAMPLES = (
    *("change", "example", "placeholder", "secret-key", "secret_key", "string-secret", "your-", "your_", "insecure"),
    *("12345678", "abcdefgh", "qwerty", "09d25e094faa6ca2", "192b9bdd22ab9ed4"),
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
    """Return what is wrong with a signing key, as the end of a sentence; None if nothing is."""
    content = key.encode()
    if len(content) < MIN_KEY_BYTES:
        return f"is shorter than {MIN_KEY_BYTES} bytes"
    if any(example in key.lower() for example in _EXAMPLES):
        return "contains a part of a well-known example"
    # A random key grows when it is compressed.
    if len(zlib.compress(content)) < MIN_KEY_BYTES:
        return "repeats itself too much to be random"
    return None


def why_password_is_unsafe(password: str, username: str) -> str | None:
    """Return what is wrong with a password, as the end of a sentence; None if nothing is.

    Takes up to a quarter of a second, and longer at the first call. Not thread-safe, because zxcvbn keeps the words of
    the user in a global variable.
    """
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        return f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters"
    from zxcvbn import zxcvbn  # noqa: PLC0415  # takes 0.1 s, and the API starts without it

    words = [username, username[:ESTIMATED_LENGTH], *re.split(r"[._@-]", username), "slipway"]
    estimate = zxcvbn(password[:ESTIMATED_LENGTH], words)
    if estimate["score"] >= MIN_PASSWORD_SCORE:
        return None
    warning = estimate["feedback"]["warning"].rstrip(".")
    because = f" ({warning[0].lower()}{warning[1:]})" if warning else ""
    return f"is too easy to guess{because}: choose several uncommon words, without the user's name"
