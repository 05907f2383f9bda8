"""Requests generated from the service's OpenAPI document: no 5xx, and no undocumented response."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from slipway_api.accounts.models import Role
from slipway_core.registry.memory import InMemoryRegistry
from support.api import Database, RunningApi, running_api
from support.bundles import bundle_files, register, regression_files

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
URL = "http://slipway"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[RunningApi]:
    """Run a separate app, because generated requests may change anything."""
    registry = InMemoryRegistry()
    register(registry, bundle_files(), promote=True)
    register(registry, regression_files(), "demand", promote=True)
    # Concurrent random jitter would disturb the property tests.
    options: dict[str, Any] = {"max_body_bytes": 200_000, "registry_poll_seconds": 3_600}
    with running_api(tmp_path_factory.mktemp("api"), registry, database, **options) as api:
        yield api


def send(api: RunningApi, case: Case[Any]) -> None:
    """Send a case as the administrator, as over a network, and check the response against the schema."""
    prepared = requests.Request(**case.as_transport_kwargs(base_url=URL)).prepare()
    assert prepared.method is not None
    headers = {name: str(value) for name, value in prepared.headers.items() if name.lower() != "authorization"}
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    path = (prepared.url or "").removeprefix(URL)
    answer = api.request(prepared.method, path, role=Role.ADMIN, headers=headers, content=body)
    case.validate_response(answer, checks=CHECKS)


def run(api: RunningApi, cases: int) -> Counter[str]:
    """Try at least this many cases, and return the number of cases of each operation.

    Operations without parameters or body are tried once. Paths accept any text. The other operations share the cases,
    half of which match the schema.
    """
    schema = schemathesis.openapi.from_dict(api.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    right, wrong = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    kinds = [(operation, right) for operation in operations if operation.body or any(operation.iter_parameters())]
    kinds += [(operation, wrong) for operation in operations if operation.body or any(operation.query)]
    tried: Counter[str] = Counter()

    def attempt(case: Case[Any]) -> None:
        tried[case.operation.label] += 1
        send(api, case)

    def try_out(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, count: int) -> None:
        limits = settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        limits(given(case=operation.as_strategy(generation_mode=mode))(attempt))()

    for operation in operations:
        if (operation, right) not in kinds:
            try_out(operation, right, 1)
    for operation, mode in kinds:
        try_out(operation, mode, math.ceil(1.1 * cases / len(kinds)))
    return tried


def test_few_hundred_cases_find_no_failure(target: RunningApi) -> None:
    tried = run(target, 300)

    assert tried.total() >= 300
    assert {"POST /predict", "POST /token", "POST /users", "GET /models/{name}"} <= set(tried)


@pytest.mark.slow
def test_thousands_of_cases_find_no_failure(target: RunningApi, tmp_path: Path) -> None:
    assert run(target, 5_000).total() >= 5_000
