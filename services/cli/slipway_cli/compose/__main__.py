"""`python -m slipway_cli.compose JOB`: the one-shot jobs, as the compose file calls them."""

import argparse
import os
import sys
from pathlib import Path

from slipway_core.errors import SlipwayError
from slipway_core.settings import load_settings


def main() -> None:
    """Run a job; an error of ours is one sentence on standard error and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m slipway_cli.compose", description="The compose stack's jobs.")
    jobs = parser.add_subparsers(dest="job", required=True)
    keeping = jobs.add_parser("secrets", help="Make the secrets that are missing, and give each service its own.")
    keeping.add_argument("folder", type=Path)
    preparing = jobs.add_parser("init", help="Make tables, buckets and a first model.")
    preparing.add_argument("--bucket", action="append", default=[])
    preparing.add_argument("--recipe", action="append", default=[])
    options = parser.parse_args()
    try:
        if options.job == "secrets":
            _share_secrets(options.folder)
        else:
            _prepare(options.bucket, options.recipe)
    except SlipwayError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def _share_secrets(folder: Path) -> None:
    from slipway_cli.compose.alerting import render  # noqa: PLC0415
    from slipway_cli.compose.secrets import keep, share, shares  # noqa: PLC0415
    from slipway_cli.compose.settings import AlertSettings  # noqa: PLC0415

    alerting = render(load_settings(AlertSettings))
    for service, files in shares(keep(folder, os.environ)).items():
        share(folder, service, files)
    share(folder, "alertmanager", {"alertmanager.yml": alerting})


def _prepare(buckets: list[str], recipes: list[str]) -> None:
    from slipway_cli.compose.init import prepare  # noqa: PLC0415
    from slipway_cli.compose.settings import InitSettings  # noqa: PLC0415

    prepare(load_settings(InitSettings), buckets=buckets, recipes=recipes, tell=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
