"""Print the commit of a checkout, of which only HEAD, the branches and packed-refs are there.

For images: they have no git, and a build sees no more of the checkout. Where the folder `.git` is a file, as in a
worktree, the commit is not in the build's context, and nothing is printed.
"""

import sys
from pathlib import Path


def commit_of(folder: Path) -> str:
    """Return the commit that HEAD points to; empty if the folder does not say."""
    head = _read(folder / "HEAD")
    if not head.startswith("ref: "):
        return head
    ref = head.removeprefix("ref: ")
    # A branch is a file of its own, until git packs it.
    packed = (line.split() for line in _read(folder / "packed-refs").splitlines())
    return _read(folder / ref) or next((words[0] for words in packed if words[1:] == [ref]), "")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


if __name__ == "__main__":
    print(commit_of(Path(sys.argv[1])))
