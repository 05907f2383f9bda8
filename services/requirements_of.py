"""Print the requirements of the project and some of its extras, one per line.

The images install them in a separate layer, before the code is copied.
"""

import sys
import tomllib
from pathlib import Path


def main(extras: list[str]) -> None:
    """Print the requirements of `pyproject.toml` in the working directory."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = set(project["dependencies"])
    for extra in extras:
        wanted.update(project["optional-dependencies"][extra])
    print("\n".join(sorted(wanted)))


if __name__ == "__main__":
    main(sys.argv[1:])
