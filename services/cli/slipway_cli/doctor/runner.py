"""Run all checks in parallel, one thread per area, with a common deadline."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slipway_cli.doctor.compose import check_compose
from slipway_cli.doctor.context import DoctorContext
from slipway_cli.doctor.database import check_database
from slipway_cli.doctor.findings import Finding, broken, guarded
from slipway_cli.doctor.machine import check_clock, check_folders
from slipway_cli.doctor.packages import check_extras
from slipway_cli.doctor.ports import check_ports
from slipway_cli.doctor.registry import check_registry
from slipway_cli.doctor.secrets import check_kept_files, check_key, check_password
from slipway_cli.doctor.stores import check_artifacts_destination, check_runs_database
from slipway_cli.doctor.variables import check_data_folder, check_files, check_names, check_values

Check = Callable[[DoctorContext], Iterable[Finding]]

# All requests have shorter timeouts. Only the lookup of a host name has none.
DEADLINE_SECONDS = 14.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Area:
    """A group of checks."""

    name: str
    checks: Sequence[tuple[str, Check]]


@dataclass(frozen=True)
class AreaReport:
    """The findings of an area."""

    name: str
    findings: Sequence[Finding]


AREAS = (
    Area(
        "Settings",
        (
            ("variables", check_names),
            ("values", check_values),
            ("secret files", check_files),
            ("data folder", check_data_folder),
        ),
    ),
    Area(
        "Secrets",
        (
            ("SECRET_KEY", check_key),
            ("SLIPWAY_ADMIN_PASSWORD", check_password),
            ("kept secrets", check_kept_files),
        ),
    ),
    Area("Packages", (("extras", check_extras),)),
    Area("Machine", (("folders", check_folders), ("clock", check_clock))),
    Area("Stack of slipway up", (("ports", check_ports),)),
    Area("Compose stack", (("containers", check_compose),)),
    Area("Database", (("DATABASE_URL", check_database),)),
    Area("Stores", (("MLflow's database", check_runs_database), ("MLflow's artifacts", check_artifacts_destination))),
    Area("Registry", (("registry", check_registry),)),
)


def run_checks(
    context: DoctorContext,
    on_progress: Callable[[Sequence[str]], None],
    *,
    areas: Sequence[Area] = AREAS,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[AreaReport]:
    """Run every check and return the findings, in the order of the areas.

    Args:
        context: what is examined.
        on_progress: called regularly with the names of the areas that are still being checked.
        areas: the checks.
        deadline_seconds: the time after which unfinished checks are reported as broken.
    """
    found: list[list[Finding]] = [[] for _ in areas]
    # Daemon threads, so that a blocked check does not prevent the exit.
    threads = [
        threading.Thread(target=_check_area, args=(area, context, findings), daemon=True)
        for area, findings in zip(areas, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + deadline_seconds
    while pending := [(area, thread) for area, thread in zip(areas, threads, strict=True) if thread.is_alive()]:
        on_progress([area.name for area, _ in pending])
        if time.monotonic() >= deadline:
            break
        pending[0][1].join(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    late = {area.name for area, _ in pending}
    reports = []
    for area, findings in zip(areas, found, strict=True):
        reported = list(findings)
        if area.name in late:
            reported.append(
                broken(
                    area.name.lower(),
                    f"not all checks finished within {deadline_seconds:.0f} s",
                    "fix the other findings and run `slipway doctor` again; a slow lookup of a host name is a likely "
                    "cause",
                )
            )
        reports.append(AreaReport(area.name, reported))
    return reports


def _check_area(area: Area, context: DoctorContext, findings: list[Finding]) -> None:
    for name, check in area.checks:
        # One by one, so that earlier findings are reported if a check hangs.
        for finding in guarded(name, check, context):
            findings.append(finding)  # noqa: PERF402
