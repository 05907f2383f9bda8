"""Generate and parse identifiers: UUIDs of version 7, which sort by time."""

import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """Return a new UUIDv7: 48 bits of Unix time in milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def read_id(text: str) -> uuid.UUID | None:
    """Return the UUID in a text, with or without hyphens; None if the text is not a UUID."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
