"""`--set`: the fields that it changes, and the errors that it reports in one sentence."""

import pytest

from slipway_trainer.errors import OverrideError
from slipway_trainer.overrides import override
from slipway_trainer.recipes import Candidate, Recipe
from support.bike import BIKE
from support.iris import IRIS


def candidate(recipe: Recipe, name: str) -> Candidate:
    return next(candidate for candidate in recipe.candidates if candidate.name == name)


def test_without_settings_the_recipe_stays_as_it_is() -> None:
    assert override(IRIS, []) == IRIS


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("seed=7", "seed", 7),
        ("folds=3", "folds", 3),
        ("test_fraction=0.3", "test_fraction", 0.3),
        ("split_key=customer", "split_key", "customer"),
        ("split_key=null", "split_key", None),
        ("max_regression=0.01", "max_regression", 0.01),
        ("metric=f1_macro", "metric", "f1_macro"),
        ("split=random", "split", "random"),
        ("min_rows = 20", "min_rows", 20),
    ],
)
def test_a_field_of_the_recipe_is_set(setting: str, field: str, value: object) -> None:
    changed = override(IRIS, [setting])

    assert getattr(changed, field) == value
    assert changed.model_copy(update={field: getattr(IRIS, field)}) == IRIS


def test_a_floor_is_set_or_added() -> None:
    changed = override(IRIS, ["floors.accuracy=0.5", "floors.roc_auc=0.8"])

    assert changed.floors == {"accuracy": 0.5, "roc_auc": 0.8}


def test_a_ceiling_is_set() -> None:
    changed = override(IRIS, ["ceilings.log_loss=0.4", "ceilings.brier=0.3"])

    assert changed.ceilings == {"log_loss": 0.4, "brier": 0.3}
    assert changed.floors == IRIS.floors


@pytest.mark.parametrize(
    ("text", "label"), [("1", "1"), ('"1"', "1"), ("1.0", "1.0"), ("true", "true"), ("yes", "yes")]
)
def test_positive_class_is_a_label_even_if_it_looks_like_json(text: str, label: str) -> None:
    recipe = override(IRIS.model_copy(update={"classes": ("0", label)}), ["metric=recall", f"positive_class={text}"])

    assert (recipe.metric, recipe.positive_class) == ("recall", label)
    assert override(recipe, ["metric=accuracy", "positive_class=null"]).positive_class is None


def test_quantile_is_set_for_the_metric_and_the_estimators() -> None:
    candidates = (BIKE.candidates[0].model_copy(update={"parameters": {"quantile": 0.5}}), *BIKE.candidates[1:])

    changed = override(BIKE.model_copy(update={"candidates": candidates}), ["metric=pinball", "quantile=0.9"])

    assert (changed.metric, changed.quantile) == ("pinball", 0.9)
    assert changed.candidates[0].parameters == {"quantile": 0.9}
    assert changed.candidates[1:] == BIKE.candidates[1:]
    assert override(BIKE, ["quantile=0.9"]).candidates == BIKE.candidates


def test_last_of_two_equal_overrides_wins() -> None:
    assert override(IRIS, ["seed=1", "seed=2"]).seed == 2


def test_a_parameter_is_set_for_all_candidates_that_have_it() -> None:
    changed = override(IRIS, ["max_depth=3"])

    assert candidate(changed, "random-forest").parameters["max_depth"] == 3
    assert candidate(changed, "gradient-boosting").parameters["max_depth"] == 3
    assert "max_depth" not in candidate(changed, "logistic-regression").parameters


def test_a_parameter_of_one_candidate_is_set_for_it_alone() -> None:
    changed = override(IRIS, ["random-forest.max_depth=3"])

    assert candidate(changed, "random-forest").parameters["max_depth"] == 3
    assert candidate(changed, "gradient-boosting").parameters["max_depth"] == 2


def test_default_parameter_can_be_set_for_a_named_candidate() -> None:
    changed = override(IRIS, ["random-forest.criterion=entropy"])

    assert candidate(changed, "random-forest").parameters["criterion"] == "entropy"


def test_a_parameter_that_is_set_is_not_searched() -> None:
    assert candidate(BIKE, "hist-gradient-boosting").search

    changed = override(BIKE, ["max_leaf_nodes=7"])

    assert candidate(changed, "hist-gradient-boosting").search == {}


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.5", 0.5), ("null", None), ("true", True), ("sqrt", "sqrt"), ('"3"', "3")]
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    changed = override(IRIS, [f"random-forest.max_features={text}"])

    assert candidate(changed, "random-forest").parameters["max_features"] == value


def test_candidates_are_selected_by_name_in_the_given_order() -> None:
    changed = override(IRIS, ["candidates=random-forest, logistic-regression,random-forest"])

    assert [candidate.name for candidate in changed.candidates] == ["random-forest", "logistic-regression"]


def test_the_recipe_that_is_changed_stays_as_it_was() -> None:
    before = IRIS.model_copy(deep=True)

    override(IRIS, ["C=9", "floors.accuracy=0", "candidates=logistic-regression"])

    assert before == IRIS


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("seed", "'seed' is not name=value; write it as --set seed=7"),
        ("=7", "'=7' is not name=value; write it as --set seed=7"),
        ("seed=x", "seed: must be an integer, got 'x'"),
        ("seed=-1", "seed: must be at least 0, got -1"),
        ("seed=4294967296", "seed: must be at most 4294967295, got 4294967296"),
        ("folds=1", "folds: must be at least 2, got 1"),
        ("test_fraction=1", "test_fraction: must be less than 1, got 1"),
        ("max_regression=-0.1", "max_regression: must be at least 0, got -0.1"),
        ("max_regression=NaN", "max_regression: must be at least 0, got nan"),
        ("split=backwards", "split: must be one of 'stratified', 'random' or 'time', got 'backwards'"),
        ("split=time", "the split 'time' requires time_columns, but the recipe has none"),
        ("split_key=", "split_key: must not be empty, got ''"),
        ("split_key=7", "split_key: must be text, got 7"),
        ("split_key=species", "the split_key 'species' is the target; choose the column of a group, such as "),
        ("metric=r2", "'r2' is not a metric of classification; the metrics are accuracy, "),
        ("floors.luck=1", "'luck' is not a metric of classification; the metrics are accuracy, "),
        ("floors.accuracy=high", "floors.accuracy: must be a number, got 'high'"),
        ("candidates=tulip", "unknown candidate 'tulip'; the candidates are logistic-regression, random-forest, "),
        ("candidates=", "unknown candidate ''; the candidates are logistic-regression, "),
        ("max_dept=3", "'max_dept' cannot be set; did you mean 'max_depth'?"),
        ("tulip.max_depth=3", "'tulip.max_depth' cannot be set; did you mean 'max_depth'?"),
        ("name=other", "'name' cannot be set; the names are split, split_key, test_fraction, folds, seed, "),
        ("sead=7", "'sead' cannot be set; did you mean 'seed'?"),
        (
            "random_forest.max_depth=7",
            "'random_forest.max_depth' cannot be set; did you mean 'random-forest.max_depth'?",
        ),
        ("candidates=random-forrest", "unknown candidate 'random-forrest'; did you mean 'random-forest'? the cand"),
        ("metric=acuracy", "'acuracy' is not a metric of classification; did you mean 'accuracy'? the metrics"),
        ("random-forest.n_estimator=7", "random-forest has no parameter 'n_estimator'; did you mean 'n_estimators'?"),
        ("random-forest.bogus=7", "random-forest has no parameter 'bogus'"),
    ],
)
def test_invalid_override_is_reported_in_one_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(OverrideError) as caught:
        override(IRIS, [setting])

    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value).splitlines()) == 1


def test_time_split_has_no_key() -> None:
    with pytest.raises(OverrideError) as caught:
        override(BIKE, ["split=time", "split_key=dteday"])

    assert str(caught.value) == (
        "the split 'time' holds out the last rows, so it cannot keep the rows of a split_key together; use "
        "'random' or 'stratified', or set split_key to null"
    )


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("metric=recall", "recall concerns one class: set positive_class to one of setosa, versicolor, virginica"),
        ("floors.f1=0.5", "f1 concerns one class: set positive_class to one of setosa, versicolor, virginica"),
        ("floors.log_loss=0.5", "a lower log_loss is better, so its limit is a maximum: use ceilings.log_loss"),
        ("ceilings.accuracy=1", "a higher accuracy is better, so its limit is a minimum: use floors.accuracy"),
        ("ceilings.brier=NaN", "ceilings.brier: must be a finite number, got nan"),
        ("ceiling.brier=1", "'ceiling.brier' cannot be set; "),
        ("threshold=0.5", "a threshold requires two classes, but the recipe has 3; remove it"),
        ("threshold=1", "threshold: must be less than 1, got 1"),
        ("positive_class=setossa", "'setossa' is not one of the classes; did you mean 'setosa'? they are setosa, "),
        ("quantile=0.5", "quantile belongs to regression, for the metric 'pinball'; remove it"),
    ],
)
def test_invalid_metric_or_its_parameter_is_reported(setting: str, sentence: str) -> None:
    with pytest.raises(OverrideError) as caught:
        override(IRIS, [setting])

    assert sentence in str(caught.value)


def test_a_regression_cannot_be_stratified() -> None:
    with pytest.raises(OverrideError, match="the split 'stratified' requires classes; use 'random' or 'time'"):
        override(BIKE, ["split=stratified"])
