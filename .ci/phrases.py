"""Find phrases in the repository's text that do not read as plain technical English.

Exit code 1: at least one line outside `.ci/phrases-allowed.txt` has such a phrase, or an allowed line does not exist.
"""

import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Each phrase as a regular expression; one space also matches a line break with the comment sign that follows it.
PHRASES = (
    r"([Ii]s|are|was) told",
    r"[Tt]ells? (it|them|what|who|how)",
    r"[Ww]hoever",
    r"[Nn]obody",
    r"[Ii]s no(?!-| longer)",
    r"[Ii]s none",
    r"[Ww]hat is (refused|there|gone|known|kept|served|not)",
    r"[Hh]eld against",
    r"[Ii]s asked",
)

# Tracked files that are not checked: vendored, generated, or about these phrases.
SKIPPED = (
    ".ci/phrases*",
    "CHANGELOG.md",
    "LICENSE",
    "constraints.txt",
    "docs/manifest.schema.json",
    "monitoring/grafana/dashboards/*.json",
    "services/api/slipway_api/web/assets/*",
    "tests/repo/test_phrases.py",
)

ALLOWED = Path(__file__).with_name("phrases-allowed.txt")
ROOT = Path(__file__).parents[1]

_GAP = r"(?:\s+(?:(?:#|//|\*)\s*)?)"
_PATTERN = re.compile("|".join(rf"\b{phrase.replace(' ', _GAP)}\b" for phrase in PHRASES))
_TEST_NAME = re.compile(r"\bdef test_\w+")


def matches(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the phrase and the line of each match; names of tests are read as sentences."""
    readable = _TEST_NAME.sub(lambda name: name[0].replace("_", " "), text)
    lines = text.splitlines()
    for match in _PATTERN.finditer(readable):
        number = readable.count("\n", 0, match.start()) + 1
        yield number, " ".join(match[0].split()), lines[number - 1].strip()


def tracked_files() -> list[str]:
    """Return the paths of the tracked files to check."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    paths = [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]
    return [path for path in paths if not any(fnmatch.fnmatch(path, pattern) for pattern in SKIPPED)]


def allowed_lines() -> set[str]:
    """Return the allowed lines as `path: line`; comments in the file give the reasons."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def main() -> int:
    """Print each match outside the allow list as `path:line: phrase: text`; return the exit code."""
    allowed = allowed_lines()
    unused = set(allowed)
    found = 0
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, phrase, line in matches(text):
            entry = f"{path}: {line}"
            unused.discard(entry)
            if entry not in allowed:
                print(f"{path}:{number}: {phrase}: {line}")
                found += 1
    for entry in sorted(unused):
        print(f"{ALLOWED.relative_to(ROOT)}: no such match, remove the entry: {entry}")
    if found:
        print(f"{found} phrases to reword. An entry in {ALLOWED.relative_to(ROOT)} allows a correct use.")
    return int(bool(found or unused))


if __name__ == "__main__":
    sys.exit(main())
