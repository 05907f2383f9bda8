"""The published schemas accept every body and response of models of typed columns."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from slipway_api.accounts.models import Role
from slipway_api.protocols import native, open_inference, scoring
from slipway_api.protocols.messages import ParseRequest
from support.api import RunningApi
from support.schemas import Request, changed, changes, problems, published
from support.typed_models import KINDS, TABLE_ROWS
from support.typed_requests import ENCODINGS, INFER, NATIVE, V1, in_json

READERS: dict[str, ParseRequest] = {NATIVE: native.read, INFER: open_inference.read, V1: scoring.read}
BODIES = {name: encode(TABLE_ROWS[:2]) for name, encode in ENCODINGS.items() if "CSV" not in name}
JSON_BODIES = {name: sent for name, sent in BODIES.items() if "binary" not in name}


@pytest.fixture(scope="module")
def document(typed_api: RunningApi) -> dict[str, Any]:
    document: dict[str, Any] = typed_api.get("/openapi.json").json()
    return document


@pytest.mark.parametrize("name", JSON_BODIES)
def test_schema_accepts_what_the_parser_accepts(typed_api: RunningApi, name: str) -> None:
    sent = JSON_BODIES[name]
    body, read = json.loads(sent.content), READERS[sent.path]
    model, schema = typed_api.app.state.models.get("texts", None), published(read, typed_api.app.openapi())
    schema.validate(body)
    outcomes = set()

    for change in changes(body):
        request = Request(changed(body, change))
        is_accepted = not problems(read, model, request)
        outcomes.add(is_accepted)
        # NaN and unpaired surrogates are not JSON; the parser ignores them outside the features.
        is_json = not re.search(r"NaN|\\ud800", json.dumps(request.body))
        if is_accepted and is_json:
            assert schema.is_valid(request.body), change

    assert outcomes == {True, False}


@pytest.mark.parametrize("model", KINDS)
def test_responses_match_their_schemas(typed_api: RunningApi, document: dict[str, Any], model: str) -> None:
    answers = [sent.to(typed_api, model) for sent in BODIES.values()]
    answers.append(in_json(NATIVE, {"features": [1]}).to(typed_api, model))
    identity = answers[0].json()["id"]
    typed_api.ship()
    label = answers[0].json().get("label", [None])[0]
    given = {"row": 0, "value": 1.5} if label is None else {"row": 0, "label": label}
    answers.append(typed_api.post(f"/predictions/{identity}/feedback", role=Role.USER, json=given))
    paths = (f"/predictions/{identity}", "/predictions", f"/models/{model}", f"/v2/models/{model}", "/models")
    answers += [typed_api.get(path, role=Role.USER) for path in paths]

    for answer in answers:
        path, method = answer.request.url.path, answer.request.method.lower()
        templates = [one for one in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/:]+", one), path)]
        operation = document["paths"][path if path in templates else templates[0]][method]
        schema = operation["responses"][str(answer.status_code)]["content"][answer.headers["Content-Type"]]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())
