"""The text of API keys: made when a key is created, and read at its requests.

A key is `slk_`, its public id, `_`, a secret of 256 random bits, and a tag. The database has its SHA-256 only. A slow
hash such as argon2 protects secrets that can be guessed. 2²⁵⁶ secrets are too many to try, so a fast hash is as safe,
and it adds microseconds to a request instead of a tenth of a second.

The tag shows that this installation made the key, so that a worker asks the database about a key that it does not
know yet only if it is genuine. It is not needed for keys that the worker knows: they outlive a change of SECRET_KEY.
"""

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from typing import NamedTuple

from uuid_utils.compat import uuid7

from slipway_api.accounts.key_models import KEY_INVALID, KEY_PREFIX
from slipway_api.errors import AuthenticationError

SECRET_BYTES = 32
TAG_BYTES = 8
# 32 and 8 bytes in base64 for URLs, without padding.
TAG_LENGTH = 11
PATTERN = re.compile(rb"slk_([0-9a-f]{32})_[A-Za-z0-9_-]{54}")


class PresentedKey(NamedTuple):
    """A key of a request, not verified yet.

    Attributes:
        digest: the SHA-256 of its text, in hexadecimal.
    """

    id: uuid.UUID
    digest: str

    @property
    def created(self) -> float:
        """When the key claims to have been created, in seconds since 1970 (RFC 9562, section 5.7)."""
        return (self.id.int >> 80) / 1000


class KeyTexts:
    """Makes keys, and reads those of requests."""

    def __init__(self, secret_key: str) -> None:
        # A separate key, so that a tag cannot serve as the signature of a token.
        self._key = hashlib.sha256(b"slipway api keys\0" + secret_key.encode()).digest()

    def make(self) -> tuple[str, PresentedKey]:
        """Return the text of a new key, and what a request with it presents."""
        key_id = uuid7()
        body = KEY_PREFIX + key_id.hex.encode() + b"_" + _encode(secrets.token_bytes(SECRET_BYTES))
        text = body + self._tag(body)
        return text.decode(), PresentedKey(key_id, _digest(text))

    def read(self, text: bytes) -> PresentedKey:
        """Return what a request presents. Raises AuthenticationError if it cannot be a key."""
        found = PATTERN.fullmatch(text)
        if found is None:
            raise AuthenticationError(KEY_INVALID)
        return PresentedKey(uuid.UUID(found[1].decode()), _digest(text))

    def is_genuine(self, text: bytes) -> bool:
        """Return whether this installation made a key with the current SECRET_KEY."""
        return hmac.compare_digest(self._tag(text[:-TAG_LENGTH]), text[-TAG_LENGTH:])

    def _tag(self, body: bytes) -> bytes:
        return _encode(hmac.digest(self._key, body, "sha256")[:TAG_BYTES])


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
