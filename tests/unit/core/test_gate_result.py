"""The result of the gate in the tag of a version."""

import pytest

from slipway_core.registry.gate_result import GATE_TAG, GateCheck, GateResult, gate_result_of

PASSED = GateCheck(name="floor of r2", value=0.9, required=0.7, passed=True, reason="r2 0.9 meets the floor 0.7")
REFUSED = GateCheck(name="champion's r2", value=0.9, required=0.91, passed=False, reason="r2 0.9 is worse")


@pytest.mark.parametrize(
    ("mode", "checks", "promotes"),
    [
        ("auto", (PASSED,), True),
        ("auto", (PASSED, REFUSED), False),
        ("never", (PASSED,), False),
        ("never", (REFUSED,), False),
        ("force", (PASSED,), True),
        ("force", (PASSED, REFUSED), True),
    ],
)
def test_mode_decides_whether_to_promote(mode: str, checks: tuple[GateCheck, ...], promotes: bool) -> None:
    gate_result = GateResult.model_validate({"checks": checks, "mode": mode})

    assert gate_result.promote is promotes
    assert gate_result.passed is (REFUSED not in checks)


def test_rejection_lists_failed_checks_only() -> None:
    assert GateResult(checks=(PASSED, REFUSED)).summary == "r2 0.9 is worse"
    assert GateResult(checks=(PASSED, PASSED)).summary == "r2 0.9 meets the floor 0.7; r2 0.9 meets the floor 0.7"


def test_gate_result_is_read_back_as_written() -> None:
    nan = GateCheck(name="floor of r2", value=float("nan"), required=float("-inf"), passed=False, reason="nan")
    gate_result = GateResult(checks=(PASSED, nan), mode="force")

    read = gate_result_of({GATE_TAG: gate_result.to_tag()})

    assert read is not None
    assert read.to_tag() == gate_result.to_tag()
    assert (read.mode, read.passed, read.checks[0]) == ("force", False, PASSED)


@pytest.mark.parametrize("tag", ["not JSON", "[1]", "{}", '{"checks": [{"name": "x"}]}', "null"])
def test_foreign_tag_yields_no_gate_result(tag: str) -> None:
    assert gate_result_of({GATE_TAG: tag}) is None
    assert gate_result_of({}) is None
