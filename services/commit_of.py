"""Print the commit of a checkout from HEAD, the branches and packed-refs.

The images have no git, and the build's context contains only these files. If `.git` is a file, as in a worktree, the
context does not contain the commit, and nothing is printed.
"""

import sys
from pathlib import Path


def commit_of(folder: Path) -> str:
    """Return the commit that HEAD points to; empty if it is unknown."""
    head = _read(folder / "HEAD")
    if not head.startswith("ref: "):
        return head
    ref = head.removeprefix("ref: ")
    # A branch is a separate file until git packs it.
    packed = (line.split() for line in _read(folder / "packed-refs").splitlines())
    return _read(folder / ref) or next((words[0] for words in packed if words[1:] == [ref]), "")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


if __name__ == "__main__":
    print(commit_of(Path(sys.argv[1])))
