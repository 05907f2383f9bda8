"""Make texts from a registry, an API, a file or an error safe for a terminal and for logs."""

import re

# How much of a text that a client may choose is repeated in a message.
SHOWN = 100
# First whole sequences, so that no parameters such as `[31m` remain. Then single characters: C0 without tab and line
# feed, DEL, C1, lone surrogates (no stream can encode them), marks that change the direction of the text, and the
# separators of lines and paragraphs.
_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text without escape sequences, control characters and direction marks; lines and tabs are kept."""
    if text.isprintable():  # the usual case, and fast
        return text
    return _UNSAFE.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def printable_line(text: str) -> str:
    """Return a text as `printable` does, joined into one line."""
    return " ".join(printable(text).splitlines()) if not text.isprintable() else text


def escape_json(document: str) -> str:
    """Escape the characters of a JSON document that JSON allows and a terminal interprets."""
    if document.isascii() and "\x7f" not in document:
        return document
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def shown_text(text: str) -> str:
    """Return a text in quotes, shortened: a client may choose it."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")
