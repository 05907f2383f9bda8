"""Every error of the API has a status, and the trees in docstrings match the code."""

import inspect
import re
from types import ModuleType

import pytest

import slipway_api.errors
import slipway_api.http.problems
import slipway_cli.errors
import slipway_client.errors
import slipway_core.errors
import slipway_trainer.errors

MODULES = (
    slipway_core.errors,
    slipway_api.errors,
    slipway_trainer.errors,
    slipway_cli.errors,
    slipway_client.errors,
)


def errors_of(module: ModuleType) -> dict[str, type[object]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, module.SlipwayError) and kind.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_tree_in_the_docstring_has_every_error(module: ModuleType) -> None:
    drawn = set(re.findall(r"(\w+Error)\b", (module.__doc__ or "").split("\n\n")[1]))

    assert drawn == set(errors_of(module)) | {"SlipwayError"}


def test_every_error_of_the_api_has_a_status() -> None:
    assert set(errors_of(slipway_api.errors).values()) <= set(slipway_api.http.problems.STATUS)
