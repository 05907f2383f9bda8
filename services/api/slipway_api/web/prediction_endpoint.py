"""Serve predictions of every protocol: authenticate, apply limits, select the model, run it, and respond.

Most requests take this path, so it is plain ASGI without dependency injection or repeated parsing. The routes in
`routers/` describe the same endpoints to OpenAPI.
"""

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

from slipway_api.accounts.key_models import KeyAction
from slipway_api.accounts.models import require_predictor
from slipway_api.accounts.service import AccountService
from slipway_api.http.content_codings import InflatedBody, coding_of, max_compressed_bytes
from slipway_api.http.content_types import media_type
from slipway_api.http.problems import error_response, problem_response
from slipway_api.http.request_body import LARGE_BODY_BYTES, LargeBodies, expected_bytes, header, read_body
from slipway_api.prediction_log.writer import PredictionLog
from slipway_api.protocols.messages import (
    ParsedRequest,
    ParseRequest,
    PredictionRequest,
    PredictionResponse,
    PredictionResult,
    RawHeaders,
)
from slipway_api.serving.inline_rows import INLINE_BYTES
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.predictor import Predictor
from slipway_api.serving.rate_limit import PredictionRate
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.work_pool import Key, WorkPool
from slipway_api.settings import MAX_LARGE_BYTES, ApiSettings
from slipway_api.web.dependencies import credential_of
from slipway_core.errors import SlipwayError
from slipway_core.graph import RunOptions
from slipway_core.rows import Rows

# Authenticate again if the body took longer than this to arrive.
STALE_SECONDS: Final = 1.0
NOTHING_HELD: Final = nullcontext()

# The user id of requests that need no token.
NOBODY: Final = uuid.UUID(int=0)


_Worked = tuple[Rows, PredictionResult, PredictionResponse]


@dataclass(frozen=True)
class PredictionPath:
    """A prediction endpoint of a protocol.

    Attributes:
        path: as in OpenAPI, with the optional parameters `{name}` and `{version}`. Without a name, the default model is
            used.
        read: parses the protocol's requests.
        is_public: whether no token is needed.
        find: returns the model for a name and a version.
        alias: returns the alias to serve, given the parameters and headers; None for Production or a version.
    """

    path: str
    read: ParseRequest
    is_public: bool = False
    find: Callable[[ModelStore, str, str | None], ServedModel] = ModelStore.get
    alias: Callable[[Mapping[str, str], RawHeaders], str] | None = None
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        object.__setattr__(self, "pattern", re.compile(pattern))


class PredictionEndpoint:
    """Authenticate a request, apply the limits, select the model, run it, log the prediction and respond."""

    def __init__(
        self,
        models: ModelStore,
        accounts: AccountService,
        log: PredictionLog,
        predictor: Predictor,
        pool: WorkPool,
        settings: ApiSettings,
        *,
        tokenless: frozenset[str] = frozenset(),
    ) -> None:
        """Serve predictions.

        Args:
            models: the served models.
            accounts: authenticates the callers.
            log: stores the predictions.
            predictor: runs the models.
            pool: runs large requests and slow models.
            settings: the limits.
            tokenless: paths that need no token in this deployment, such as SageMaker's, which authenticates them
                itself.
        """
        self._models = models
        self._accounts = accounts
        self._log = log
        self._predictor = predictor
        self._pool = pool
        self._tokenless = tokenless
        self._rate = PredictionRate(settings.predictions_per_minute / settings.workers)
        self._max_body_bytes = settings.max_body_bytes
        self._max_rows = settings.max_rows
        self._range_warnings = settings.range_warnings
        self._large_bodies = LargeBodies(MAX_LARGE_BYTES)

    async def answer(
        self, path: PredictionPath, parameters: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Respond to one request (ASGI) to a path with its parameters."""
        scope["route"] = path
        if scope["method"] != "POST":
            detail = f"{scope['path']} does not support {scope['method']}; use POST"
            refused = problem_response(scope, HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"Allow": "POST"})
            await refused(scope, receive, send)
            return
        try:
            response = await self._predict(path, parameters, scope, receive)
        except SlipwayError as error:
            await error_response(scope, error)(scope, receive, send)
            return
        headers = [
            (b"content-length", b"%d" % len(response.body)),
            (b"content-type", response.content_type),
            *response.headers,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _predict(
        self, path: PredictionPath, parameters: dict[str, str], scope: Scope, receive: Receive
    ) -> PredictionResponse:
        began = time.perf_counter()
        user_id = NOBODY
        models = self._models
        name = parameters.get("name", models.default_model)
        needs_token = not path.is_public and path.path not in self._tokenless
        if needs_token:
            user_id = await self._caller(scope, name)
            # A key shares the limit of its account; otherwise, more keys would allow more predictions.
            self._rate.take(user_id)
        if path.alias is None:
            model = path.find(models, name, parameters.get("version"))
        else:
            model = models.get(name, alias=path.alias(parameters, scope["headers"]))
        coding, max_bytes = coding_of(scope), self._max_body_bytes
        if coding is None:
            is_large = expected_bytes(scope, max_bytes) > LARGE_BODY_BYTES
        else:
            expected_bytes(scope, max_compressed_bytes(max_bytes))
            is_large = True  # the size of its content is unknown
            receive = InflatedBody(coding, receive, max_bytes, in_thread=True).receive
        with self._large_bodies.holding() if is_large else NOTHING_HELD as take:
            body = await read_body(scope, receive, max_bytes, take)
            if needs_token and time.perf_counter() - began > STALE_SECONDS:
                # The account may have been disabled, or the key revoked, while the body arrived.
                await self._caller(scope, name)
            rows, result, response = await self._work_on(path.read, model, body, scope)
        self._log.append(
            model,
            result.id,
            time.time_ns(),
            user_id,
            rows,
            result.outputs,
            time.perf_counter() - began,
            scope["state"]["request_id"],
        )
        return response

    async def _caller(self, scope: Scope, model: str) -> uuid.UUID:
        user = await self._accounts.authentication.authenticate(credential_of(scope))
        require_predictor(user.role)
        if user.key is not None:
            user.key.require_action(KeyAction.PREDICT)
            user.key.require_model(model)
        return user.id

    async def _work_on(self, read: ParseRequest, model: ServedModel, body: bytes, scope: Scope) -> _Worked:
        request = PredictionRequest(
            body=body,
            content_type=media_type(header(scope, b"content-type").decode("latin-1")),
            headers=scope["headers"],
            max_rows=self._max_rows,
        )
        run = self._pool.run
        if len(body) > INLINE_BYTES:
            return await run(Key.of(model), lambda options: self._work(model, read(model, request), options))
        parsed = read(model, request)
        if len(parsed.rows) <= model.inline_rows:
            return self._work(model, parsed)
        return await run(Key.of(model), partial(self._work, model, parsed))

    def _work(self, model: ServedModel, parsed: ParsedRequest, options: RunOptions | None = None) -> _Worked:
        outputs, outside = self._predictor.run(model, parsed.rows, options)
        if outside is not None and not self._range_warnings:
            outside = None
        result = PredictionResult(uuid7(), model, outputs, outside)
        return parsed.rows, result, parsed.write(result)


class PredictionPaths:
    """Serve the prediction endpoints, and forward all other requests."""

    def __init__(self, app: ASGIApp, endpoint: PredictionEndpoint, paths: Sequence[PredictionPath]) -> None:
        self._app = app
        self._endpoint = endpoint
        self._fixed = {path.path: path for path in paths if "{" not in path.path}
        self._patterns = [path for path in paths if "{" in path.path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        requested = scope["path"].removeprefix(scope.get("root_path", ""))
        path = self._fixed.get(requested)
        if path is not None:
            await self._endpoint.answer(path, {}, scope, receive, send)
            return
        for path in self._patterns:
            if match := path.pattern.fullmatch(requested):
                await self._endpoint.answer(path, match.groupdict(), scope, receive, send)
                return
        await self._app(scope, receive, send)
