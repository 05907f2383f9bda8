"""Parse identifiers."""

import uuid


def read_id(text: str) -> uuid.UUID | None:
    """Return the UUID in a text, with or without hyphens; None if the text is not a UUID."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
