"""Promotions that Slipway does not read are recognised, with the command that corrects them."""

from collections.abc import Mapping

import pytest

from slipway_core.registry import RegisteredModel
from slipway_core.registry.mistaken_promotions import mistaken_promotion
from slipway_core.registry.mlflow_responses import registered_model


@pytest.mark.parametrize("alias", ["production", "PRODUCTION", "pRoDuction", " Production "])
def test_other_spelling_of_the_alias_is_a_mistaken_promotion(alias: str) -> None:
    assert str(mistaken_promotion(RegisteredModel("iris", aliases={"Shadow": "2", alias: "3"}))) == (
        f"the model iris has the alias {alias!r} at version 3, but Slipway serves 'Production' (capital P): "
        "run 'slipway models promote iris 3'"
    )


def test_production_stage_is_a_mistaken_promotion() -> None:
    latest = [
        {"name": "iris", "version": "1", "current_stage": "Production"},
        {"name": "iris", "version": "2", "current_stage": "None"},
    ]
    model = registered_model({"name": "iris", "latest_versions": latest})

    assert model.stages == {"Production": "1"}
    hint = str(mistaken_promotion(model))
    assert "version 1 in MLflow's stage 'Production'" in hint
    assert hint.endswith("run 'slipway models promote iris 1'")


@pytest.mark.parametrize(
    ("aliases", "stages"),
    [
        ({}, {}),
        ({"Production": "1"}, {}),
        ({"Production": "1", "production": "2"}, {"Production": "3"}),
        ({"prod": "1", "Productions": "1"}, {"Staging": "1"}),
    ],
)
def test_other_models_have_no_mistaken_promotion(aliases: Mapping[str, str], stages: Mapping[str, str]) -> None:
    assert mistaken_promotion(RegisteredModel("iris", aliases=aliases, stages=stages)) is None


def test_a_name_with_spaces_is_quoted_in_the_command() -> None:
    hint = mistaken_promotion(RegisteredModel("my iris", aliases={"production": "3"}))

    assert hint is not None
    assert hint.command == "slipway models promote 'my iris' 3"
