"""Wrong inputs: every place that is wrong is named."""

import pytest

from slipway_api.account import Role
from support.api import RunningApi
from support.refusals import INPUTS, Apis, Case


@pytest.mark.parametrize("case", INPUTS, ids=lambda case: case.name)
def test_a_wrong_input_is_answered_with_each_place(case: Case, apis: Apis) -> None:
    errors = case.ask(apis).json()["errors"]

    assert [error["loc"] for error in errors] == [loc for loc, _ in case.places]
    for error, (_, words) in zip(errors, case.places, strict=True):
        assert words in error["msg"]


def test_a_body_with_very_many_wrong_names_gets_a_short_answer(api: RunningApi) -> None:
    body = {f"field {number}": 1 for number in range(5_000)}

    answer = api.post("/predict", role=Role.USER, json=body)

    assert answer.status_code == 422
    assert len(answer.content) < 10_000
