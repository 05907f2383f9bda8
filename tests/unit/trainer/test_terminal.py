"""Terminal: a line for each step, a progress bar only on a terminal, and two tables."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from slipway_core.registry.gate_result import GateResult
from slipway_trainer.gate import Challenger, Champion, decide
from slipway_trainer.terminal import Terminal
from support.iris import IRIS, trained_iris

REFUSED = decide(
    Challenger({"accuracy": 0.85}, 150, withdrawn_duplicate="3"),
    Champion("4", 0.85 + 1e-9, rows=150),
    metric="accuracy",
    floors={"accuracy": 0.9},
    mode="never",
)


def told(talk: Callable[[Terminal], None], *, is_terminal: bool = False) -> str:
    """Return what a console shows of a talk."""
    output = io.StringIO()
    with Terminal(Console(file=output, width=100, force_terminal=is_terminal, highlight=False)) as terminal:
        talk(terminal)
    return output.getvalue()


def show(gate_result: GateResult) -> str:
    evaluations = tuple(trained_iris().evaluations.values())
    return told(lambda terminal: terminal.gate_result(IRIS, evaluations, evaluations[1], gate_result))


def test_a_step_is_a_line_with_its_name_first() -> None:
    assert told(lambda terminal: terminal.step_finished("extract", "150 rows")) == "extract   150 rows\n"


def test_lines_of_a_step_are_aligned() -> None:
    shown = told(lambda terminal: terminal.step_finished("promote", "the gate failed:\n- accuracy"))

    assert shown == "promote   the gate failed:\n          - accuracy\n"


def test_a_long_sentence_is_not_broken() -> None:
    sentence = "word " * 60 + "end"

    assert told(lambda terminal: terminal.step_finished("train", sentence)).splitlines() == [f"train     {sentence}"]


def test_brackets_are_printed_unchanged() -> None:
    assert "a [red] file[/]" in told(lambda terminal: terminal.step_finished("extract", "a [red] file[/]"))


def test_a_pipe_gets_no_bar() -> None:
    assert told(lambda terminal: terminal.progress("random-forest", 1, 6)) == ""


def test_terminal_shows_candidate_and_progress() -> None:
    shown = told(lambda terminal: terminal.progress("random-forest", 2, 6), is_terminal=True)

    assert "fitting random-forest" in shown
    assert "2/6" in shown


def test_candidates_stand_side_by_side_and_chosen_one_is_marked() -> None:
    shown = show(REFUSED)

    assert "random-forest ✓" in shown
    assert shown.count("✓") == 1
    assert "accuracy of folds" in shown
    assert f"{trained_iris().evaluations['gradient-boosting'].fitted.cv_mean:.4f}" in shown


def test_every_check_of_the_gate_is_a_row() -> None:
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:5]]
        for line in show(REFUSED).splitlines()
        if line.count("│") == 5
    }

    assert rows["floor of accuracy"] == ["0.8500", "0.9000", "failed"]
    assert rows["accuracy against Production"] == ["0.850000000", "0.850000001", "failed"]
    assert rows["rows of data"] == ["150", "120", "passed"]
    assert rows["not withdrawn"][0] == "–"


def test_required_maximum_is_marked() -> None:
    challenger = Challenger({"log_loss": 0.4}, 150)
    gate_result = decide(
        challenger, Champion("4", 0.3), metric="log_loss", floors={}, ceilings={"log_loss": 0.5}, mode="never"
    )

    shown = [line.replace(" ", "") for line in show(gate_result).splitlines()]

    assert any(line.startswith("│ceilingoflog_loss│0.4000│≤0.5000│passed│") for line in shown)
    assert any(line.startswith("│log_lossagainst") and "│0.4000│≤0.3000│failed│" in line for line in shown)


def test_mode_is_printed_with_the_checks() -> None:
    assert "Promotion gate (--promote never)" in show(REFUSED)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_end_of_a_step_removes_the_bar(is_terminal: bool) -> None:
    def talk(terminal: Terminal) -> None:
        terminal.progress("random-forest", 1, 6)
        terminal.step_finished("train", "random-forest: accuracy 0.95")

    shown = told(talk, is_terminal=is_terminal)

    assert "train     random-forest: accuracy 0.95" in shown


@pytest.mark.parametrize("is_terminal", [False, True])
def test_long_names_of_candidates_are_never_cut(is_terminal: bool) -> None:
    output = io.StringIO()
    with Terminal(Console(file=output, width=50, force_terminal=is_terminal, color_system=None)) as terminal:
        evaluations = tuple(trained_iris().evaluations.values())
        terminal.gate_result(IRIS, evaluations, evaluations[1], REFUSED)

    printed = output.getvalue()
    assert "…" not in printed
    assert is_terminal or "logistic-regression" in printed
