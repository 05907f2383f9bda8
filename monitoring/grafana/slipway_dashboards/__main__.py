"""Write every dashboard's JSON to a folder: `python -m slipway_dashboards FOLDER`."""

import argparse
from pathlib import Path

from slipway_dashboards import api, infrastructure, model, overview
from slipway_dashboards.frame import to_json


def files() -> dict[str, str]:
    """Return the JSON of each dashboard by its file name."""
    return {
        f"{name}.json": to_json(made)
        for name, made in (
            ("overview", overview.dashboard()),
            ("api", api.dashboard()),
            ("model", model.dashboard()),
            ("infrastructure", infrastructure.dashboard()),
        )
    }


def main() -> None:
    """Write the files, and remove those of deleted dashboards."""
    parser = argparse.ArgumentParser(prog="slipway_dashboards", description="Write the dashboards' JSON.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = files()
    for gone in folder.glob("*.json"):
        if gone.name not in made:
            gone.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
