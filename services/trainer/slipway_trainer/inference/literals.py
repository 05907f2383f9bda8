"""Format Python source within 120 columns, as `ruff format` does."""

import textwrap
from collections.abc import Sequence

WIDTH = 120
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BASIC, _WIDE = 0xFF, 0xFFFF


def quoted(text: str) -> str:
    """Return a text as a Python literal on one line, without characters that a terminal interprets."""
    quote = "'" if '"' in text and "'" not in text else '"'
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def _escaped(character: str, quote: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == quote:
        return f"\\{quote}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= _BASIC else f"\\u{code:04x}" if code <= _WIDE else f"\\U{code:08x}"


def literal(value: object) -> str:
    """Return a label, a number or a text as a Python literal."""
    return quoted(value) if isinstance(value, str) else repr(value)


def sequence(values: Sequence[object], indent: int, taken: int) -> str:
    """Return a tuple: on one line if it fits, otherwise with one value on each line.

    Args:
        values: labels, numbers or texts.
        indent: the indentation of the line on which it starts.
        taken: the number of characters on that line before and after it.
    """
    items = [literal(value) for value in values]
    line = f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if taken + len(line) <= WIDTH:
        return line
    inner = " " * (indent + 4)
    return "(\n" + "".join(f"{inner}{item},\n" for item in items) + " " * indent + ")"


def call(name: str, arguments: dict[str, object], indent: int) -> str:
    """Return a call with keyword arguments and a comma after it, on lines with this indentation.

    Args:
        name: the function.
        arguments: texts, numbers, booleans, or tuples of them, by name.
        indent: the indentation.
    """
    start = " " * indent
    parts = [
        f"{key}={sequence(value, 0, -WIDTH * len(value)) if isinstance(value, tuple) else literal(value)}"
        for key, value in arguments.items()
    ]
    line = f"{start}{name}({', '.join(parts)}),"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    inner = " " * (indent + 4)
    lines = [
        f"{inner}{key}={sequence(value, indent + 4, indent + 4 + len(key) + 2)},"
        if isinstance(value, tuple)
        else f"{inner}{part},"
        for (key, value), part in zip(arguments.items(), parts, strict=True)
    ]
    return "\n".join([f"{start}{name}(", *lines, f"{start}),"])


def comment(text: str, indent: int) -> str:
    """Return a text as a comment, on as many lines as necessary; control characters are escaped."""
    safe = "".join(character if character.isprintable() else _escaped(character, '"') for character in text)
    start = " " * indent + "# "
    return "\n".join(textwrap.wrap(safe, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False))
