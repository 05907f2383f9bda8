"""Check the pinned dependencies for known vulnerabilities with pip-audit.

Exit code 1: at least one vulnerability was found, or, with --require, a dependency could not be checked. If the
vulnerability database cannot be reached, the check is skipped with a message.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
UNREACHABLE = "The vulnerability database cannot be reached: constraints.txt was not audited."


def audit(pins: Sequence[str]) -> list[dict[str, Any]]:
    """Return pip-audit's report on each pin; empty if it fails without a report."""
    with tempfile.TemporaryDirectory() as folder:
        requirements, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        requirements.write_text("\n".join(pins), encoding="utf-8")
        # The pins are complete, so pip-audit need not resolve or download anything.
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--output={report}"]
        command = [sys.executable, "-m", "pip_audit", f"--requirement={requirements}", *options]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if not report.is_file():
            return []
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        return found


def summarize(dependencies: Sequence[dict[str, Any]], *, require: bool) -> tuple[int, str]:
    """Return the exit code and the text to print for a report."""
    vulnerable = [
        f"{one['name']} {one['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability['fix_versions']) or 'no release yet'}"
        for one in dependencies
        for vulnerability in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    if len(skipped) == len(dependencies):
        return int(require), UNREACHABLE
    lines = [
        *vulnerable,
        f"{len(dependencies) - len(skipped)} pinned dependencies audited, {len(vulnerable)} findings.",
    ]
    if skipped:
        lines.append(f"Not audited: {', '.join(skipped)}.")
    return int(bool(vulnerable) or (require and bool(skipped))), "\n".join(lines)


def main() -> int:
    """Audit the first pin, which shows whether the database can be reached, then all pins."""
    parser = argparse.ArgumentParser(description="Audit constraints.txt.")
    parser.add_argument("--require", action="store_true", help="Fail if a dependency cannot be checked.")
    options = parser.parse_args()
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    report = audit(pins[:1])
    if any("skip_reason" not in one for one in report):
        report = audit(pins)
    code, text = summarize(report, require=options.require)
    print(text)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
