"""`python -m slipway_cli.stack_jobs JOB`: the one-shot jobs, as the compose file calls them."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from slipway_core.printable import printable
from slipway_core.program import exit_on_error
from slipway_core.settings import load_settings


def main() -> None:
    """Run a job. Print a Slipway error as one sentence on standard error and exit with 1."""
    parser = argparse.ArgumentParser(prog="python -m slipway_cli.stack_jobs", description="The compose stack's jobs.")
    jobs = parser.add_subparsers(dest="job", required=True)
    keeping = jobs.add_parser("secrets", help="Generate missing secrets, and give each service its own.")
    keeping.add_argument("folder", type=Path)
    keeping.add_argument("--readable", type=Path, help="A folder whose files the containers must be able to read.")
    adopting = jobs.add_parser("adopt", help="Assign the stack's volumes to this clone.")
    adopting.add_argument("folder", type=Path, nargs="?", default=Path("/secrets"))
    rotating = jobs.add_parser("rotate-keys", help="Create new signing keys; the former ones stay trusted.")
    forgetting = jobs.add_parser("forget-keys", help="Trust only the stack's own signing keys.")
    trusting = jobs.add_parser("trust-key", help="Trust another public key.")
    trusting.add_argument("line", nargs="+", help="The line that `slipway signing show` prints.")
    for changing in (rotating, forgetting, trusting):
        changing.add_argument("--folder", type=Path, default=Path("/secrets"))
    preparing = jobs.add_parser("init", help="Create tables, buckets and first models.")
    preparing.add_argument("--bucket", action="append", default=[])
    preparing.add_argument("--recipe", action="append", default=[])
    signing = jobs.add_parser("sign-existing", help="Sign Production versions, and those that a rollback can restore.")
    signing.add_argument("--unsigned", action="store_true", help="Also sign models without a signed promotion.")
    for job, does in (("objects-out", "Write all objects to standard output."), ("objects-in", "Restore objects.")):
        moving = jobs.add_parser(job, help=does)
        moving.add_argument("location", nargs="+", help="A bucket, or bucket/prefix.")
    options = parser.parse_args()
    with exit_on_error():
        if options.job == "secrets":
            _share_secrets(options.folder, options.readable)
        elif options.job in {"rotate-keys", "forget-keys", "trust-key"}:
            _change_keys(options.job, options.folder, " ".join(getattr(options, "line", [])))
        elif options.job == "adopt":
            _adopt(options.folder)
        elif options.job == "sign-existing":
            _sign_existing(unsigned=options.unsigned)
        elif options.job == "init":
            _prepare(options.bucket, options.recipe)
        else:
            _move_objects(options.job, options.location)


def _adopt(folder: Path) -> None:
    from slipway_cli.stack_jobs.mounts import CLONE_FILE  # noqa: PLC0415
    from slipway_cli.stack_jobs.secrets import KEPT  # noqa: PLC0415

    (folder / KEPT / CLONE_FILE).unlink(missing_ok=True)


def _share_secrets(folder: Path, mounted: Path | None) -> None:
    from slipway_cli.stack_jobs.alerting import render  # noqa: PLC0415
    from slipway_cli.stack_jobs.mounts import clone_of, require_own_volume, require_readable  # noqa: PLC0415
    from slipway_cli.stack_jobs.secrets import keep_secrets, open_kept, shares, trusted_keys  # noqa: PLC0415
    from slipway_cli.stack_jobs.settings import AlertSettings, HttpsSettings  # noqa: PLC0415

    if mounted is not None:
        require_readable(mounted)
    load_settings(HttpsSettings)
    alerting = render(load_settings(AlertSettings))
    if mounted is not None:
        require_own_volume(open_kept(folder), clone_of(mounted))
    secrets = keep_secrets(folder, os.environ)
    _share(folder, shares(secrets, trusted_keys(folder, secrets)) | {"alertmanager": {"alertmanager.yml": alerting}})


def _change_keys(job: str, folder: Path, line: str) -> None:
    from slipway_cli.stack_jobs.secrets import forget, keep_secrets, rotate, shares, trust, trusted_keys  # noqa: PLC0415

    secrets = keep_secrets(folder, os.environ)
    if job == "rotate-keys":
        secrets = rotate(folder, secrets)
    elif job == "forget-keys":
        forget(folder)
    else:
        trust(folder, line, secrets)
    _share(folder, shares(secrets, trusted_keys(folder, secrets)))


def _share(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    from slipway_cli.stack_jobs.secrets import READ_AT_START, share  # noqa: PLC0415

    for service, own in files.items():
        changed = share(folder, service, own)
        if changed and service in READ_AT_START:
            former = ", ".join(changed)
            restart = f"docker compose restart {service}"
            print(printable(f"Restart required: {service} uses its old {former} until `{restart}`."))


def _prepare(buckets: list[str], recipes: list[str]) -> None:
    from slipway_cli.stack_jobs.init import prepare  # noqa: PLC0415
    from slipway_cli.stack_jobs.settings import InitSettings  # noqa: PLC0415

    prepare(
        load_settings(InitSettings),
        buckets=buckets,
        recipes=recipes,
        echo=lambda line: print(printable(line), flush=True),
    )


def _sign_existing(*, unsigned: bool) -> None:
    from slipway_cli.stack_jobs.init import sign_registry  # noqa: PLC0415
    from slipway_cli.stack_jobs.settings import InitSettings  # noqa: PLC0415

    sign_registry(
        load_settings(InitSettings),
        echo=lambda line: print(printable(line), flush=True),
        replace=True,
        unsigned=unsigned,
    )


def _move_objects(job: str, locations: list[str]) -> None:
    from slipway_cli.stack_jobs.objects import receive, send  # noqa: PLC0415

    if job == "objects-out":
        send(locations, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        receive(locations, sys.stdin.buffer)


if __name__ == "__main__":
    main()
