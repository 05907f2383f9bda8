"""The asynchronous client, for asyncio."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, overload

import httpx

from slipway_client import calls, feedback, predicting, results
from slipway_client.calls import Answer
from slipway_client.client import TIMEOUT_SECONDS
from slipway_client.environment import read_environment
from slipway_client.retry import Retry
from slipway_client.runners import AsyncRunner
from slipway_client.session import Session
from slipway_client.splitting import BatchLimits
from slipway_client.targets import Stage, Target
from slipway_client.values import Row

if TYPE_CHECKING:
    import pandas as pd

CONCURRENCY = 4


class AsyncClient(AsyncRunner):
    """The asynchronous form of `Client`, whose methods have the same arguments, results and errors.

    Close it with `aclose`, or use it in an `async with` statement.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        api_key: str | None = None,
        retry: Retry | None = None,
        limits: BatchLimits | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        concurrency: int = CONCURRENCY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client. It sends nothing yet.

        Args:
            url: the address of the API, such as http://127.0.0.1:8000.
            token: a bearer token. `login` gets one.
            api_key: an API key (`slk_…`), instead of a token.
            retry: when to retry; see `Retry` for the defaults.
            limits: the largest request of `predict`; see `BatchLimits` for the defaults.
            timeout_seconds: the time limit of each attempt.
            concurrency: the most requests at a time of one call of `predict` or `feedback`.
            transport: sends the requests; by default over the network.

        Raises:
            ConfigurationError: the address or a credential is invalid.
            ValueError: the concurrency is less than 1.
        """
        if concurrency < 1:
            raise ValueError("the concurrency must be at least 1")
        session = Session(
            url,
            token=token,
            api_key=api_key,
            retry=retry or Retry(),
            limits=limits or BatchLimits(),
            timeout_seconds=timeout_seconds,
        )
        http = httpx.AsyncClient(base_url=session.url, timeout=timeout_seconds, transport=transport)
        super().__init__(session, http, concurrency)

    @classmethod
    def from_env(cls, **options: Any) -> Self:  # noqa: ANN401  # those of the constructor
        """Create a client from environment variables; see `Client.from_env`."""
        return cls(**read_environment(os.environ), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def login(self, username: str, password: str, *, keep: bool = False) -> Self:
        """Get a token, use it from now on, and return the client; see `Client.login`."""
        await self._run(self._session.log_in(username, password, keep=keep))
        return self

    async def logout(self, *, every: bool = False) -> None:
        """Revoke the token, with `every` all tokens of the account, and forget it. API keys stay valid."""
        await self._run(self._session.log_out(every=every))

    @overload
    async def predict(
        self,
        data: Row | Sequence[Row],
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> results.PredictionResult: ...

    @overload
    async def predict(
        self,
        data: "pd.DataFrame",
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> "pd.DataFrame": ...

    async def predict(
        self,
        data: Any,
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> Any:
        """Predict rows; see `Client.predict`. Batches are sent concurrently, and the result is in order."""
        return await self._run(predicting.predict(self._session, data, Target.of(model, version, candidate, stage)))

    async def feedback(
        self,
        target: Any,  # noqa: ANN401
        labels: Any = None,  # noqa: ANN401
        values: Any = None,  # noqa: ANN401
        *,
        row: int | None = None,
    ) -> list[results.Feedback]:
        """Store the true labels or values of rows, concurrently; see `Client.feedback`."""
        return await self._run(feedback.give_feedback(self._session, target, labels, values, row))

    def predictions(
        self, model: str | None = None, *, since: datetime | str | None = None, limit: int | None = None
    ) -> AsyncIterator[results.LoggedPrediction]:
        """Yield your logged predictions, newest first; see `Client.predictions`."""
        return self._entries(lambda size, cursor: calls.predictions(model, since, size, cursor), limit)

    async def prediction(self, prediction_id: str) -> results.PredictionWithLineage:
        """Return a logged prediction with the lineage of its model, and its feedback."""
        return await self._call(calls.prediction(prediction_id))

    async def models(self) -> list[results.Model]:
        """Return the served models."""
        return await self._call(calls.models())

    async def model(
        self, name: str, version: str | None = None, *, candidate: str | None = None, stage: Stage | None = None
    ) -> results.Model:
        """Return a served model: its Production version, a pinned version, a candidate, or the version in Staging."""
        return await self._call(calls.model(Target.of(name, version, candidate, stage)))

    async def model_info(self) -> results.Model:
        """Return the default model."""
        return await self._call(calls.model(Target.of()))

    async def candidates(self, model: str) -> list[results.Candidate]:
        """Return the candidates of a model, and why some of them are not loaded."""
        return await self._call(calls.candidates(model))

    async def promote(self, model: str, version: str, reason: str, expected: str | None = None) -> results.Promotion:
        """Make a version Production (as an admin); see `Client.promote`."""
        return await self._call(calls.promote(model, version, reason, expected))

    async def rollback(self, model: str, reason: str, expected: str | None = None) -> results.Promotion:
        """Restore the previous Production version, and withdraw the current one (as an admin); see `promote`."""
        return await self._call(calls.rollback(model, reason, expected))

    async def history(self, model: str) -> list[results.Move]:
        """Return the moves of a model's Production alias, newest first."""
        return await self._call(calls.history(model))

    async def reload(self, name: str) -> Answer:
        """Make the API check the registry for a new version now (as an admin)."""
        return await self._call(calls.reload(name))

    async def me(self) -> results.User:
        """Return your own account."""
        return await self._call(calls.me())

    async def change_password(self, current: str, new: str) -> str:
        """Change your own password, which revokes all older tokens; use and return the new token."""
        return await self._run(self._session.change_password(current, new))

    def api_keys(self) -> AsyncIterator[results.ApiKey]:
        """Yield your API keys, newest first; those of all accounts for an admin."""
        return self._entries(calls.keys)

    async def add_key(self, name: str, **options: object) -> results.NewApiKey:
        """Create an API key; the options are `models`, `actions`, `expires_in` and `description`."""
        return await self._call(calls.add_key(name, options))

    async def revoke_key(self, key_id: str) -> None:
        """Revoke an API key by its id."""
        await self._call(calls.revoke_key(key_id))

    def users(self) -> AsyncIterator[results.User]:
        """Yield all accounts, by name (as an admin)."""
        return self._entries(calls.users)

    def user_events(self, limit: int | None = None) -> AsyncIterator[results.UserEvent]:
        """Yield the changes of accounts, newest first (as an admin)."""
        return self._entries(calls.user_events, limit)

    async def add_user(self, username: str, password: str, role: str = "user") -> results.User:
        """Add an account with the role `admin`, `user` or `viewer` (as an admin)."""
        return await self._call(calls.add_user(username, password, role))

    async def change_user(self, username: str, **changes: object) -> results.User:
        """Change the `role`, `disabled` or `password` of an account (as an admin)."""
        return await self._call(calls.change_user(username, changes))

    async def delete_user(self, username: str, *, erase: bool = False) -> None:
        """Delete an account (as an admin), with `erase` also its predictions."""
        await self._call(calls.delete_user(username, erase=erase))

    async def check(self) -> str:
        """Check that the server is Slipway's API, and return its version. This needs no credential."""
        return await self._call(calls.welcome())

    async def request(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send any request, such as to an endpoint without a method, and return the JSON of the response."""
        return await self._call(calls.raw(method, path, json=json, params=params))
