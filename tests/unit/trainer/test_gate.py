"""The gate: floors and champion, ties and values that are no numbers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway_trainer.gate import decide

SCORES = st.floats(min_value=0, max_value=1)
FLOORS = st.dictionaries(st.sampled_from(["accuracy", "f1_macro", "recall_macro"]), SCORES)


def test_without_a_champion_the_floors_alone_decide() -> None:
    decision = decide({"accuracy": 0.95}, {"accuracy": 0.9}, metric="accuracy", champion=None)

    assert decision.promote
    assert decision.reasons == ("accuracy 0.9500 meets the floor 0.9000", "there is no champion to compare with")


def test_below_a_floor_is_refused_even_without_a_champion() -> None:
    decision = decide({"accuracy": 0.85}, {"accuracy": 0.9}, metric="accuracy", champion=None)

    assert not decision.promote
    assert decision.reasons[0] == "accuracy 0.8500 is below the floor 0.9000"


def test_a_value_on_the_floor_meets_it() -> None:
    assert decide({"accuracy": 0.9}, {"accuracy": 0.9}, metric="accuracy", champion=None).promote


def test_a_tie_with_the_champion_is_promoted() -> None:
    decision = decide({"accuracy": 0.95}, {}, metric="accuracy", champion=0.95)

    assert decision.promote
    assert decision.reasons == ("accuracy 0.9500 is not worse than the champion's 0.9500 on the same rows",)


def test_worse_than_the_champion_is_refused_though_it_meets_the_floors() -> None:
    decision = decide({"accuracy": 0.94}, {"accuracy": 0.9}, metric="accuracy", champion=0.95)

    assert not decision.promote
    assert decision.summary == (
        "accuracy 0.9400 meets the floor 0.9000; accuracy 0.9400 is worse than the champion's 0.9500 on the same rows"
    )


def test_better_than_the_champion_but_below_a_floor_is_refused() -> None:
    decision = decide({"accuracy": 0.8}, {"accuracy": 0.9}, metric="accuracy", champion=0.5)

    assert not decision.promote


@pytest.mark.parametrize(("challenger", "promoted"), [(0.94, True), (0.925, True), (0.92, False)])
def test_a_regression_is_allowed_up_to_its_maximum(challenger: float, promoted: bool) -> None:
    decision = decide({"accuracy": challenger}, {}, metric="accuracy", champion=0.95, max_regression=0.025)

    assert decision.promote is promoted


def test_every_floor_counts_and_is_told_in_the_order_of_the_names() -> None:
    metrics = {"accuracy": 0.95, "f1_macro": 0.7}

    decision = decide(metrics, {"f1_macro": 0.8, "accuracy": 0.9}, metric="accuracy", champion=0.9)

    assert not decision.promote
    assert decision.reasons == (
        "accuracy 0.9500 meets the floor 0.9000",
        "f1_macro 0.7000 is below the floor 0.8000",
        "accuracy 0.9500 is not worse than the champion's 0.9000 on the same rows",
    )


def test_the_champion_is_compared_by_the_recipes_metric() -> None:
    metrics = {"accuracy": 0.5, "f1_macro": 0.9}

    assert decide(metrics, {}, metric="f1_macro", champion=0.8).promote
    assert not decide(metrics, {}, metric="accuracy", champion=0.8).promote


@pytest.mark.parametrize(("floors", "champion"), [({"accuracy": 0.0}, None), ({}, 0.0)])
def test_a_challenger_that_is_no_number_is_never_promoted(floors: dict[str, float], champion: float | None) -> None:
    assert not decide({"accuracy": math.nan}, floors, metric="accuracy", champion=champion).promote


def test_without_floors_and_champion_anything_is_promoted() -> None:
    assert decide({"accuracy": 0.1}, {}, metric="accuracy", champion=None).promote


@settings(deadline=None)
@given(floors=FLOORS, champion=st.none() | SCORES, margin=SCORES)
def test_better_than_floors_and_champion_is_always_promoted(
    floors: dict[str, float], champion: float | None, margin: float
) -> None:
    best = max([*floors.values(), champion or 0.0])
    metrics = dict.fromkeys(["accuracy", "f1_macro", "recall_macro"], best + margin)

    assert decide(metrics, floors, metric="accuracy", champion=champion).promote


@settings(deadline=None)
@given(
    floors=FLOORS.filter(bool),
    champion=st.none() | SCORES,
    shortfall=st.floats(min_value=1e-6, max_value=1),
    data=st.data(),
)
def test_below_any_floor_is_never_promoted(
    floors: dict[str, float], champion: float | None, shortfall: float, data: st.DataObject
) -> None:
    metrics = dict.fromkeys(["accuracy", "f1_macro", "recall_macro"], 2.0)
    low = data.draw(st.sampled_from(sorted(floors)))
    metrics[low] = floors[low] - shortfall

    decision = decide(metrics, floors, metric="accuracy", champion=champion)

    assert not decision.promote
    assert any(reason.startswith(low) and "is below the floor" in reason for reason in decision.reasons)


@settings(deadline=None)
@given(champion=SCORES, shortfall=st.floats(min_value=1e-6, max_value=1))
def test_worse_than_the_champion_is_never_promoted(champion: float, shortfall: float) -> None:
    assert not decide({"accuracy": champion - shortfall}, {}, metric="accuracy", champion=champion).promote


@settings(deadline=None)
@given(floors=FLOORS, champion=st.none() | SCORES)
def test_every_comparison_gives_one_reason(floors: dict[str, float], champion: float | None) -> None:
    metrics = dict.fromkeys(["accuracy", "f1_macro", "recall_macro"], 0.5)

    decision = decide(metrics, floors, metric="accuracy", champion=champion)

    assert len(decision.reasons) == len(floors) + 1
