"""Run `slipway doctor` as a user does, and return its findings."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from slipway_cli.cli import main
from slipway_cli.doctor.findings import Finding
from support.command import run
from support.servers import free_port


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a whole run.

    Attributes:
        output: its JSON as printed.
    """

    exit_code: int
    findings: list[Finding]
    output: str

    def of(self, check: str) -> list[Finding]:
        """Return the findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    def the(self, check: str) -> Finding:
        """Return the finding of a check that has exactly one."""
        (finding,) = self.of(check)
        return finding

    @property
    def broken(self) -> list[Finding]:
        """Return all failed findings."""
        return [finding for finding in self.findings if finding.status == "broken"]


def diagnose(home: Path, *, port: int | None = None, mlflow_port: int | None = None) -> Diagnosis:
    """Run the command on a folder, by default on free ports."""
    # The tests' working directory contains a compose file, whose stack may be running.
    with contextlib.chdir(home if home.is_dir() else home.parent):
        ended = run(
            main,
            "doctor",
            "--json",
            f"--home={home}",
            f"--port={port or free_port()}",
            f"--mlflow-port={mlflow_port or free_port()}",
        )
    assert ended.error == ""
    findings = [
        Finding(item["check"], item["status"], item["what"], item["mend"])
        for item in json.loads(ended.output)["findings"]
    ]
    return Diagnosis(ended.exit_code, findings, ended.output)
