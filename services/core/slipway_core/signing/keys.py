"""Ed25519 keys (RFC 8032): sign with a private key, verify with the trusted public keys."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from slipway_core.errors import ConfigurationError, SignatureError

KEY_BYTES = 32
# Of the SHA-256 in hexadecimal. It only selects a key, so a collision would not forge a signature.
KEY_ID_LENGTH = 16
EVENTS_ONLY = "events"


class Purpose(Enum):
    """What a signature is for. Its value begins the signed message, so that none is valid for another purpose."""

    VERSION = "slipway.version.v1"
    EVENT = "slipway.event.v1"


@dataclass(frozen=True)
class PublicKey:
    """A trusted public key.

    Attributes:
        raw: the 32 bytes of the key.
        name: its name in messages.
        events_only: whether it may sign promotion events, but no versions.
    """

    raw: bytes
    name: str
    events_only: bool = False

    @property
    def key_id(self) -> str:
        """The first digits of the key's SHA-256."""
        return _key_id(self.raw)

    def __str__(self) -> str:
        """Return the line of a file of trusted keys."""
        parts = [base64.b64encode(self.raw).decode(), self.name]
        return " ".join([*parts, EVENTS_ONLY] if self.events_only else parts)


class TrustedKeys:
    """The public keys whose signatures are accepted."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.key_id: key for key in keys}

    def __iter__(self) -> Iterator[PublicKey]:
        return iter(self._keys.values())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse one key per line: the key in base64, its name, and `events` if it may only sign events.

        Empty lines and comments (`#`) are skipped.

        Raises:
            ConfigurationError: a line is malformed, a key is repeated, or no key may sign versions.
        """
        keys: dict[str, PublicKey] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            key = _parse_line(words, number)
            if key.key_id in keys:
                raise ConfigurationError(f"line {number} of the trusted keys repeats the key {key.key_id}: remove it")
            keys[key.key_id] = key
        if not any(not key.events_only for key in keys.values()):
            raise ConfigurationError(
                "the trusted keys include none that may sign versions: add the public key of the trainer, which "
                "`slipway signing show` prints"
            )
        return cls(keys.values())

    def verify(self, signature: str, message: bytes, purpose: Purpose) -> PublicKey:
        """Return the trusted key that signed a message.

        Args:
            signature: the text that `Signer.sign` returned.
            message: the signed message, without its purpose.
            purpose: what the message is.

        Raises:
            SignatureError: no trusted key signed it, or the key may not sign for this purpose.
        """
        key_id, _, encoded = signature.partition(".")
        key = self._keys.get(key_id)
        if key is None:
            raise SignatureError(f"it is signed with the key {_shown(key_id)}, which is not a trusted key")
        if key.events_only and purpose is not Purpose.EVENT:
            raise SignatureError(f"it is signed with the key {key.name} ({key_id}), which may sign only events")
        try:
            raw = base64.b64decode(encoded, validate=True)
            Ed25519PublicKey.from_public_bytes(key.raw).verify(raw, _prefixed(message, purpose))
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise SignatureError(f"its signature with the key {key.name} ({key_id}) does not match") from error
        return key


@dataclass(frozen=True)
class Signer:
    """Signs with a private key. The key never appears in its representation."""

    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_pem(cls, content: bytes) -> Self:
        """Parse a private key in PEM format (PKCS #8).

        Raises:
            ConfigurationError: it is not an unencrypted Ed25519 key. The message does not contain it.
        """
        try:
            key = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Without its cause: the library's message may describe the content.
            raise ConfigurationError(
                "the signing key is not an unencrypted private key in PEM format: create one with "
                "`slipway signing create`"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError("the signing key is not an Ed25519 key: create one with `slipway signing create`")
        return cls(key)

    @property
    def key_id(self) -> str:
        """The id of its public key."""
        return _key_id(self._raw)

    def public_key(self, name: str, *, events_only: bool = False) -> PublicKey:
        """Return its public key under a name."""
        return PublicKey(self._raw, name, events_only)

    def sign(self, message: bytes, purpose: Purpose) -> str:
        """Return the key's id and its signature of a message, in one text."""
        return f"{self.key_id}.{base64.b64encode(self._key.sign(_prefixed(message, purpose))).decode()}"

    @property
    def _raw(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def new_private_key() -> str:
    """Return a new private key in PEM format (PKCS #8)."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _parse_line(words: list[str], number: int) -> PublicKey:
    try:
        raw = base64.b64decode(words[0], validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    is_known = len(words) == 2 or (len(words) == 3 and words[2] == EVENTS_ONLY)  # noqa: PLR2004
    if len(raw) != KEY_BYTES or not is_known:
        # The line is not repeated: it may be a private key.
        raise ConfigurationError(
            f"line {number} of the trusted keys is not `KEY NAME` or `KEY NAME events`: `slipway signing show` prints "
            "the line of a key"
        )
    return PublicKey(raw, words[1], len(words) == 3)  # noqa: PLR2004


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_LENGTH]


def _prefixed(message: bytes, purpose: Purpose) -> bytes:
    return purpose.value.encode() + b"\n" + message


def _shown(key_id: str) -> str:
    is_id = len(key_id) == KEY_ID_LENGTH and key_id.isascii() and key_id.isalnum()
    return key_id if is_id else "of a malformed signature"
