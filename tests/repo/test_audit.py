"""The audit of the pinned dependencies: findings fail it, and it reports what it could not check."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[2]
CLEAN = {"name": "numpy", "version": "2.4.0", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found"}
FOUND = {"name": "onnx", "version": "1.20.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.21.0"]}]}
UNFIXED = {"name": "rsa", "version": "4", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return load_script(".ci/audit.py")


@pytest.mark.parametrize(
    ("report", "require", "code", "text"),
    [
        ([CLEAN], True, 0, "1 pinned dependencies audited, 0 findings."),
        ([CLEAN, FOUND], False, 1, "onnx 1.20.0: PYSEC-1, fixed in 1.21.0"),
        ([UNFIXED, SKIPPED], False, 1, "rsa 4: PYSEC-2, fixed in no release yet"),
        ([CLEAN, SKIPPED], False, 0, "Not audited: torch."),
        ([CLEAN, SKIPPED], True, 1, "Not audited: torch."),
        ([SKIPPED], False, 0, "cannot be reached"),
        ([SKIPPED], True, 1, "cannot be reached"),
        ([], False, 0, "cannot be reached"),
        ([], True, 1, "cannot be reached"),
    ],
)
def test_audit_fails_on_findings(
    audit: ModuleType, report: list[dict[str, Any]], require: bool, code: int, text: str
) -> None:
    found, said = audit.summarize(report, require=require)

    assert found == code
    assert text in said


def test_audit_runs_in_ci() -> None:
    assert "make audit" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make audit AUDIT=--require" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
