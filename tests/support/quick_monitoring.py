"""The deployed configuration of Prometheus, but quick: alerts fire at the first evaluation that finds them true."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring/prometheus"

# A probe's timeout is half a second less than this.
SCRAPE_SECONDS = 2


def write_quick_monitoring(folder: Path, addresses: Mapping[str, str] | None = None) -> Path:
    """Write prometheus.yml and its rules into a folder, to be used in place of monitoring/prometheus.

    Scrapes and evaluations run every few seconds, and alerts fire without a wait. Windows and thresholds are unchanged.
    Rules that set their own interval keep it, because they depend on it.

    Args:
        folder: the folder, which is created.
        addresses: targets with another address, such as `{"api:8000": "127.0.0.1:4711"}`.

    Returns:
        The path of prometheus.yml.
    """
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    quick = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    configuration["global"] |= {**quick, "evaluation_interval": "1s"}
    for job in configuration["scrape_configs"]:
        job |= {name: value for name, value in quick.items() if name in job}
    rules = folder / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    for file in sorted((MONITORING / "rules").glob("*.yml")):
        groups = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in groups["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        rules.joinpath(file.name).write_text(yaml.safe_dump(groups, sort_keys=False), encoding="utf-8")
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(_moved(configuration, addresses or {}), sort_keys=False), encoding="utf-8")
    return path


def _moved(part: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _moved(value, addresses) for key, value in part.items()}
    if isinstance(part, list):
        return [_moved(value, addresses) for value in part]
    return addresses.get(part, part) if isinstance(part, str) else part
