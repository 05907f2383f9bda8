"""The compose file, read as Compose reads it, except for the variables."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
# The file that is included if SLIPWAY_DOMAIN is set.
HTTPS_FILE = ROOT / "services" / "caddy" / "https.yml"
# ${NAME}, ${NAME:-default}
_INTERPOLATION = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")


@cache
def compose() -> dict[str, Any]:
    """Return the content of both files, with anchors merged."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    for section, more in yaml.safe_load(HTTPS_FILE.read_text(encoding="utf-8")).items():
        content[section] |= more
    return content


def services() -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def interpolated() -> dict[str, str]:
    """Return the variables that the file reads, with their defaults; a variable passed on unchanged has no default."""
    text = COMPOSE_FILE.read_text(encoding="utf-8") + HTTPS_FILE.read_text(encoding="utf-8")
    found = {name: default or "" for name, default in _INTERPOLATION.findall(text)}
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if value is None:
                found.setdefault(name, "")
    return found
