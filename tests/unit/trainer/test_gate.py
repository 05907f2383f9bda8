"""The gate: floors, champion, rows and withdrawn duplicates; ties, tiny differences and NaN."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_core.registry.gate_result import GateResult
from slipway_trainer.gate import Challenger, Champion, decide, format_distinct

SCORES = st.floats(min_value=0, max_value=1)
SHORTFALLS = st.floats(min_value=1e-12, max_value=1)
NAMES = ("accuracy", "f1_macro", "roc_auc")
FLOORS = st.dictionaries(st.sampled_from(NAMES), SCORES)
CHAMPIONS = st.none() | st.builds(Champion, st.just("1"), st.none() | SCORES, st.just("it is damaged"))
Mode = Literal["auto", "never", "force"]


def ask(
    accuracy: float,
    champion: float | None = None,
    *,
    floors: dict[str, float] | None = None,
    max_regression: float = 0.0,
    mode: Mode = "auto",
    duplicate: str | None = None,
) -> GateResult:
    """Return the decision on a challenger of 150 rows, against a champion of 150 rows if its score is given."""
    return decide(
        Challenger({"accuracy": accuracy}, 150, duplicate),
        None if champion is None else Champion("4", champion, rows=150),
        metric="accuracy",
        floors=floors or {},
        max_regression=max_regression,
        mode=mode,
    )


def reasons(gate_result: GateResult) -> list[str]:
    return [check.reason for check in gate_result.checks]


@pytest.mark.parametrize(
    ("accuracy", "champion", "floor", "passed"),
    [
        pytest.param(0.95, None, 0.9, True, id="first above the floor"),
        pytest.param(0.90, None, 0.9, True, id="first on the floor"),
        pytest.param(0.89, None, 0.9, False, id="first below the floor"),
        pytest.param(0.95, 0.94, 0.9, True, id="better"),
        pytest.param(0.95, 0.95, 0.9, True, id="a tie"),
        pytest.param(0.94, 0.95, 0.9, False, id="worse, though above the floor"),
        pytest.param(0.80, 0.50, 0.9, False, id="better, but below the floor"),
        pytest.param(0.95, 0.95 + 1e-12, 0.9, False, id="worse by a hair"),
        pytest.param(0.9 - 1e-12, None, 0.9, False, id="below the floor by a hair"),
        pytest.param(math.nan, None, 0.0, False, id="no number, against a floor"),
        pytest.param(math.nan, 0.0, 0.0, False, id="no number, against a champion"),
        pytest.param(math.inf, 0.9, 0.9, True, id="infinitely good"),
        pytest.param(-math.inf, 0.9, -10.0, False, id="infinitely bad"),
    ],
)
def test_floor_and_champion_decide(accuracy: float, champion: float | None, floor: float, passed: bool) -> None:
    gate_result = ask(accuracy, champion, floors={"accuracy": floor})

    assert (gate_result.passed, gate_result.promote) == (passed, passed)


def test_result_without_champion_states_it() -> None:
    assert reasons(ask(0.95, floors={"accuracy": 0.9})) == [
        "accuracy 0.9500 meets the floor 0.9000",
        "no Production version to compare with",
    ]


@pytest.mark.parametrize(
    ("accuracy", "max_regression", "sentence"),
    [
        (0.96, 0, "accuracy 0.9600 is better than Production's 0.9500 (version 4) on the same rows"),
        (0.95, 0, "accuracy 0.9500 equals Production's 0.9500 (version 4) on the same rows"),
        (
            0.95 - 1e-12,
            0,
            (
                "accuracy 0.949999999999 is worse than Production's 0.950000000000 (version 4) on the same rows; "
                "--set max_regression=VALUE changes the allowed regression"
            ),
        ),
        (
            0.94,
            0,
            (
                "accuracy 0.9400 is worse than Production's 0.9500 (version 4) on the same rows; --set "
                "max_regression=VALUE changes the allowed regression"
            ),
        ),
        (
            0.94,
            0.02,
            (
                "accuracy 0.9400 is within the allowed regression of Production's 0.9500 (version 4) on the same "
                "rows; allowed regression: 0.02"
            ),
        ),
        (
            0.92,
            0.02,
            (
                "accuracy 0.9200 is worse than Production's 0.9500 (version 4) on the same rows; "
                "allowed regression: 0.02; --set max_regression=VALUE changes the allowed regression"
            ),
        ),
    ],
)
def test_comparison_has_both_scores(accuracy: float, max_regression: float, sentence: str) -> None:
    assert reasons(ask(accuracy, 0.95, max_regression=max_regression))[0] == sentence


@pytest.mark.parametrize(
    ("champion", "max_regression", "accuracy", "passed"),
    [
        (0.95, 0.025, 0.94, True),
        (0.95, 0.025, 0.925, True),
        (0.95, 0.025, 0.925 - 1e-12, False),
        (0.95, 0.025, 0.92, False),
        # In floating point, 0.8 - 0.1 is 0.7000000000000001.
        (0.8, 0.1, 0.7, True),
        (0.8, 0.1, 0.7 - 1e-12, False),
        (1.0, 0.95, 0.05, True),
    ],
)
def test_regression_is_allowed_up_to_the_maximum(
    champion: float, max_regression: float, accuracy: float, passed: bool
) -> None:
    assert ask(accuracy, champion, max_regression=max_regression).passed is passed


def test_every_floor_is_checked_in_alphabetical_order() -> None:
    gate_result = decide(
        Challenger({"accuracy": 0.95, "f1_macro": 0.7}, 150),
        None,
        metric="accuracy",
        floors={"f1_macro": 0.8, "accuracy": 0.9},
    )

    assert reasons(gate_result)[:2] == [
        "accuracy 0.9500 meets the floor 0.9000",
        "f1_macro 0.7000 is below the floor 0.8000; --set floors.f1_macro=VALUE changes the floor",
    ]
    assert gate_result.summary == reasons(gate_result)[1]


def test_champion_is_compared_by_the_metric_of_the_recipe() -> None:
    challenger = Challenger({"accuracy": 0.5, "f1_macro": 0.9}, 150)

    by_f1, by_accuracy = (
        decide(challenger, Champion("1", 0.8), metric=metric, floors={}) for metric in ("f1_macro", "accuracy")
    )

    assert by_f1.promote
    assert not by_accuracy.promote


def test_unscorable_champion_leaves_the_decision_to_the_floors() -> None:
    champion = Champion("4", None, "its features differ in name or order")

    gate_result = decide(Challenger({"accuracy": 0.9}, 150), champion, metric="accuracy", floors={"accuracy": 0.9})

    assert gate_result.promote
    assert reasons(gate_result)[1] == (
        "Production (version 4) cannot be compared: its features differ in name or order"
    )


@pytest.mark.parametrize(
    ("floors", "rows", "passed"),
    [
        pytest.param({}, 150, False, id="nothing else limits it"),
        pytest.param({"accuracy": 0.5}, 150, True, id="a floor"),
        pytest.param({}, None, True, id="Production is damaged, or not a bundle"),
    ],
)
def test_registered_model_that_cannot_be_compared_needs_a_floor(
    floors: dict[str, float], rows: int | None, passed: bool
) -> None:
    answer = decide(
        Challenger({"accuracy": 0.6}, 150, None, is_registered=True),
        Champion("4", None, "its features differ in name or order", rows=rows),
        metric="accuracy",
        floors=floors,
    )

    assert answer.passed == passed
    assert any("--floor METRIC=VALUE" in reason for reason in reasons(answer)) != passed


@pytest.mark.parametrize(("rows", "champions", "passed"), [(120, 150, True), (119, 150, False), (121, 151, True)])
def test_data_with_far_fewer_rows_is_rejected(rows: int, champions: int, passed: bool) -> None:
    gate_result = decide(
        Challenger({"accuracy": 1.0}, rows), Champion("4", 0.9, rows=champions), metric="accuracy", floors={}
    )

    assert gate_result.passed is passed
    told = f"{rows} rows of data, and version 4 had {champions}"
    missing = ": 79.3%, less than min_rows_share 0.8; check that the data is complete, or lower "
    assert reasons(gate_result)[-1] == (told if passed else f"{told}{missing}the limit with --set min_rows_share=VALUE")


def test_best_graph_of_a_withdrawn_version_is_rejected() -> None:
    gate_result = ask(1.0, 0.5, duplicate="3")

    assert not gate_result.promote
    assert gate_result.summary == (
        "its graph is the same as that of version 3, which a rollback withdrew; "
        "to lift the withdrawal and promote it: slipway models promote NAME VERSION"
    )


# Metrics of which a lower value is better.


def ask_lower(
    mae: float, champion: float | None = None, *, ceiling: float | None = None, max_regression: float = 0.0
) -> GateResult:
    """Return the decision on a challenger by its error."""
    return decide(
        Challenger({"mae": mae}, 150),
        None if champion is None else Champion("4", champion),
        metric="mae",
        floors={},
        ceilings={} if ceiling is None else {"mae": ceiling},
        max_regression=max_regression,
    )


@pytest.mark.parametrize(
    ("mae", "champion", "ceiling", "passed"),
    [
        pytest.param(40, None, 50, True, id="first below the ceiling"),
        pytest.param(50, None, 50, True, id="first on the ceiling"),
        pytest.param(51, None, 50, False, id="first above the ceiling"),
        pytest.param(50 + 1e-9, None, 50, False, id="above the ceiling by a hair"),
        pytest.param(40, 41, None, True, id="lower, so better"),
        pytest.param(41, 41, None, True, id="a tie"),
        pytest.param(42, 41, None, False, id="higher, so worse"),
        pytest.param(41 + 1e-12, 41, None, False, id="worse by a hair"),
        pytest.param(60, 70, 50, False, id="better, but above the ceiling"),
        pytest.param(math.nan, None, 50, False, id="no number, against a ceiling"),
        pytest.param(math.nan, 41, None, False, id="no number, against a champion"),
        pytest.param(math.inf, 41, None, False, id="infinitely bad"),
    ],
)
def test_ceiling_and_lower_champion_decide(
    mae: float, champion: float | None, ceiling: float | None, passed: bool
) -> None:
    assert ask_lower(mae, champion, ceiling=ceiling).passed is passed


@pytest.mark.parametrize(
    ("mae", "max_regression", "required", "comparison"),
    [
        (0.90, 0, 0.95, "is better than"),
        (0.95, 0, 0.95, "equals"),
        (0.96, 0.02, 0.97, "is within the allowed regression of"),
        (0.98, 0.02, 0.97, "is worse than"),
    ],
)
def test_comparison_states_that_lower_is_better(
    mae: float, max_regression: float, required: float, comparison: str
) -> None:
    (check,) = ask_lower(mae, 0.95, max_regression=max_regression).checks

    assert check.reason.startswith(f"mae (lower is better) {mae:.4f} {comparison} ")
    assert check.reason.endswith("--set max_regression=VALUE changes the allowed regression") is not check.passed
    assert check.required == pytest.approx(required)


@pytest.mark.parametrize(
    ("champion", "max_regression", "mae", "passed"),
    [
        # In floating point, 0.1 + 0.2 is 0.30000000000000004, and 0.7 + 0.1 is 0.7999999999999999.
        (0.1, 0.2, 0.3, True),
        (0.7, 0.1, 0.8, True),
        (1000.1, 0.2, 1000.3, True),
        (0.7, 0.1, 0.8 + 1e-12, False),
    ],
)
def test_error_may_rise_by_the_allowed_regression(
    champion: float, max_regression: float, mae: float, passed: bool
) -> None:
    assert ask_lower(mae, champion, max_regression=max_regression).passed is passed


def test_floors_and_ceilings_are_listed_with_their_reasons() -> None:
    gate_result = decide(
        Challenger({"recall": 0.8, "precision": 0.2, "brier": 0.3, "log_loss": 0.1}, 150),
        None,
        metric="recall",
        floors={"recall": 0.7, "precision": 0.3},
        ceilings={"log_loss": 0.5, "brier": 0.2},
    )

    assert {check.name: check.passed for check in gate_result.checks if " of " in check.name} == {
        "floor of precision": False,
        "floor of recall": True,
        "ceiling of brier": False,
        "ceiling of log_loss": True,
    }
    assert gate_result.summary == (
        "precision 0.2000 is below the floor 0.3000; --set floors.precision=VALUE changes the floor; "
        "brier 0.3000 is above the ceiling 0.2000; --set ceilings.brier=VALUE changes the ceiling"
    )
    assert reasons(gate_result)[-1] == "log_loss 0.1000 meets the ceiling 0.5000"
    assert gate_result.metrics[0] == "recall"


@given(champion=SCORES, change=SHORTFALLS)
def test_error_is_promoted_only_if_it_does_not_rise(champion: float, change: float) -> None:
    assert not ask_lower(champion + change, champion).promote
    assert ask_lower(champion - change, champion).promote


@given(accuracy=SCORES, champion=st.none() | SCORES, floors=st.dictionaries(st.just("accuracy"), SCORES))
def test_mode_changes_no_check(accuracy: float, champion: float | None, floors: dict[str, float]) -> None:
    auto, never, force = (ask(accuracy, champion, floors=floors, mode=mode) for mode in ("auto", "never", "force"))

    assert auto.checks == never.checks == force.checks


@given(floors=FLOORS, champion=CHAMPIONS, margin=SCORES)
def test_at_or_above_floors_and_champion_is_always_promoted(
    floors: dict[str, float], champion: Champion | None, margin: float
) -> None:
    best = max([*floors.values(), (champion and champion.score) or 0.0])
    challenger = Challenger(dict.fromkeys(NAMES, best + margin), 150)

    assert decide(challenger, champion, metric="accuracy", floors=floors).promote


@given(floors=FLOORS.filter(bool), champion=CHAMPIONS, shortfall=SHORTFALLS, data=st.data())
def test_below_any_floor_is_never_promoted(
    floors: dict[str, float], champion: Champion | None, shortfall: float, data: st.DataObject
) -> None:
    low = data.draw(st.sampled_from(sorted(floors)))
    challenger = Challenger({**dict.fromkeys(NAMES, 2.0), low: floors[low] - shortfall}, 150)

    gate_result = decide(challenger, champion, metric="accuracy", floors=floors)

    assert not gate_result.promote
    assert gate_result.summary.startswith(low)
    assert "is below the floor" in gate_result.summary


@given(champion=SCORES, shortfall=SHORTFALLS)
def test_worse_score_is_never_promoted_and_digits_differ(champion: float, shortfall: float) -> None:
    gate_result = ask(champion - shortfall, champion)

    assert not gate_result.promote
    shown, best = format_distinct(champion - shortfall, champion)
    assert shown != best
    assert f"accuracy {shown} is worse than Production's {best}" in gate_result.summary


@given(champion=SCORES, max_regression=st.floats(min_value=0, max_value=1), share=SCORES)
def test_score_within_the_allowed_regression_is_promoted(champion: float, max_regression: float, share: float) -> None:
    assert ask(champion - max_regression * share, champion, max_regression=max_regression).promote


@pytest.mark.parametrize(
    ("value", "other", "told"),
    [
        (0.95, 0.9, ("0.9500", "0.9000")),
        (0.9, 0.9, ("0.9000", "0.9000")),
        (1, 1, ("1.0000", "1.0000")),
        (1, 0, ("1.0000", "0.0000")),
        (0.90001, 0.90002, ("0.90001", "0.90002")),
        (math.nan, 0.9, ("nan", "0.9000")),
    ],
)
def test_numbers_have_four_digits_or_enough_to_differ(value: float, other: float, told: tuple[str, str]) -> None:
    assert format_distinct(value, other) == told


def test_metrics_have_four_digits_and_counts_have_none() -> None:
    gate_result = decide(
        Challenger({"accuracy": 1.0, "f1_macro": 1.0}, 150),
        Champion("4", 1.0, rows=100),
        metric="f1_macro",
        floors={"accuracy": 1.0, "f1_macro": 0.0},
    )

    assert reasons(gate_result) == [
        "accuracy 1.0000 meets the floor 1.0000",
        "f1_macro 1.0000 meets the floor 0.0000",
        "f1_macro 1.0000 equals Production's 1.0000 (version 4) on the same rows",
        "150 rows of data, and version 4 had 100",
    ]
    assert gate_result.metrics == ("f1_macro", "accuracy")
    assert format_distinct(150, 80, are_counts=True) == ("150", "80")
