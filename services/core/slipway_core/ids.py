"""Parse identifiers."""

import uuid


def read_id(text: str) -> uuid.UUID | None:
    """Return the id in a text, written with or without hyphens; None if the text is not an id."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
