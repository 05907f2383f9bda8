"""Counts in messages."""


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 row` or `2 rows`; only for nouns whose plural adds an s."""
    return f"{number} {noun}{'s'[: number != 1]}"
