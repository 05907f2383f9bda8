"""The synchronous client."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, overload

import httpx

from slipway_client import calls, feedback, predicting, results
from slipway_client.calls import Answer
from slipway_client.environment import read_environment
from slipway_client.retry import Retry
from slipway_client.runners import Runner
from slipway_client.session import Session
from slipway_client.splitting import BatchLimits
from slipway_client.targets import Stage, Target
from slipway_client.values import Row

if TYPE_CHECKING:
    import pandas as pd

# Just above the API's default time limit, so that its own error arrives first.
TIMEOUT_SECONDS = 35.0


class Client(Runner):
    """A client of Slipway's API. `AsyncClient` has the same methods as coroutines.

    A client can be used from several threads. Close it, or use it in a `with` statement.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Create a client. It sends nothing yet.

        Args:
            url: the address of the API, such as http://127.0.0.1:8000.
            token: a bearer token. `login` gets one.
            api_key: an API key (`slk_…`), instead of a token.
            retry: when to retry; see `Retry` for the defaults.
            limits: the largest request of `predict`; see `BatchLimits` for the defaults.
            timeout_seconds: the time limit of each attempt.
            transport: sends the requests; by default over the network.

        Raises:
            ConfigurationError: the address or a credential is invalid.
        """
        session = Session(
            url,
            token=token,
            api_key=api_key,
            retry=retry or Retry(),
            limits=limits or BatchLimits(),
            timeout_seconds=timeout_seconds,
        )
        super().__init__(session, httpx.Client(base_url=session.url, timeout=timeout_seconds, transport=transport))

    @classmethod
    def from_env(cls, **options: Any) -> Self:  # noqa: ANN401  # those of the constructor
        """Create a client from SLIPWAY_URL, and SLIPWAY_TOKEN or SLIPWAY_API_KEY.

        Raises:
            ConfigurationError: the address is missing, or a variable is invalid.
        """
        return cls(**read_environment(os.environ), **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def login(self, username: str, password: str, *, keep: bool = False) -> Self:
        """Get a token, use it from now on, and return the client.

        Args:
            username: the account's name.
            password: its password.
            keep: whether to keep both in memory, and to log in again when the token has expired.

        Raises:
            AuthenticationError: the name or the password is wrong.
        """
        self._run(self._session.log_in(username, password, keep=keep))
        return self

    def logout(self, *, every: bool = False) -> None:
        """Revoke the token, with `every` all tokens of the account, and forget it. API keys stay valid."""
        self._run(self._session.log_out(every=every))

    @overload
    def predict(
        self,
        data: Row | Sequence[Row],
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> results.PredictionResult: ...

    @overload
    def predict(
        self,
        data: "pd.DataFrame",
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> "pd.DataFrame": ...

    def predict(
        self,
        data: Any,
        model: str | None = None,
        version: str | None = None,
        *,
        candidate: str | None = None,
        stage: Stage | None = None,
    ) -> Any:
        """Predict rows.

        Args:
            data: a DataFrame whose columns have the names of the features; or one row, or a list of rows. A row is an
                object by name, or a list in the order of the features. Missing values are None, NaN, NaT or NA.
            model: the name of the model; by default the API's default model.
            version: a pinned version of the model.
            candidate: the name of a candidate of the model, instead of a version.
            stage: `Staging` for the version beside Production.

        Returns:
            For a DataFrame, a DataFrame with the same index and the columns `prediction`, `label`,
            `probability_<class>`, `prediction_id` and `prediction_row`. Otherwise a PredictionResult.

        Raises:
            ValidationError: values are invalid; `errors` has their rows and columns.
            BatchError: some rows failed; it has the result of the others.
            SlipwayError: all rows failed for another reason.
            TypeError: the data has no rows of features.
            ValueError: there are no rows, a column has an invalid name, or the version is not clear.
        """
        return self._run(predicting.predict(self._session, data, Target.of(model, version, candidate, stage)))

    def feedback(
        self,
        target: Any,  # noqa: ANN401  # see below
        labels: Any = None,  # noqa: ANN401
        values: Any = None,  # noqa: ANN401
        *,
        row: int | None = None,
    ) -> list[results.Feedback]:
        """Store the true labels or values of rows, once per row.

        Args:
            target: the id of a prediction, or rows that `predict` returned.
            labels: the true classes, one for each row. Rows with a missing one are skipped. A Series for a DataFrame is
                matched by its index.
            values: the true values of a regressor, instead of labels.
            row: the row in the target. Required for the id of a prediction of several rows.

        Returns:
            The stored feedback.

        Raises:
            ConflictError: the row has feedback already.
            BatchError: the feedback of some of several rows failed.
            SlipwayError: it failed for another reason.
            TypeError: the target is not a prediction.
            ValueError: another number of labels or values than rows.
        """
        return self._run(feedback.give_feedback(self._session, target, labels, values, row))

    def predictions(
        self, model: str | None = None, *, since: datetime | str | None = None, limit: int | None = None
    ) -> Iterator[results.LoggedPrediction]:
        """Yield your logged predictions, newest first; those of all accounts for an admin.

        Args:
            model: only predictions of this model.
            since: only predictions from this time on, with a time zone.
            limit: the most predictions.
        """
        return self._entries(lambda size, cursor: calls.predictions(model, since, size, cursor), limit)

    def prediction(self, prediction_id: str) -> results.PredictionWithLineage:
        """Return a logged prediction with the lineage of its model, and its feedback."""
        return self._call(calls.prediction(prediction_id))

    def models(self) -> list[results.Model]:
        """Return the served models."""
        return self._call(calls.models())

    def model(
        self, name: str, version: str | None = None, *, candidate: str | None = None, stage: Stage | None = None
    ) -> results.Model:
        """Return a served model: its Production version, a pinned version, a candidate, or the version in Staging."""
        return self._call(calls.model(Target.of(name, version, candidate, stage)))

    def model_info(self) -> results.Model:
        """Return the default model."""
        return self._call(calls.model(Target.of()))

    def candidates(self, model: str) -> list[results.Candidate]:
        """Return the candidates of a model, and why some of them are not loaded."""
        return self._call(calls.candidates(model))

    def promote(self, model: str, version: str, reason: str, expected: str | None = None) -> results.Promotion:
        """Make a version Production (as an admin).

        Args:
            model: the name of the model.
            version: the version to promote.
            reason: the reason for the history.
            expected: the version that must still be Production; None for any.

        Raises:
            ConflictError: another version than the expected one is Production.
            ServiceUnavailableError: the registry does not respond. `history` shows whether the version was promoted.
        """
        return self._call(calls.promote(model, version, reason, expected))

    def rollback(self, model: str, reason: str, expected: str | None = None) -> results.Promotion:
        """Restore the previous Production version, and withdraw the current one (as an admin); see `promote`."""
        return self._call(calls.rollback(model, reason, expected))

    def history(self, model: str) -> list[results.Move]:
        """Return the moves of a model's Production alias, newest first."""
        return self._call(calls.history(model))

    def reload(self, name: str) -> Answer:
        """Make the API check the registry for a new version now (as an admin)."""
        return self._call(calls.reload(name))

    def me(self) -> results.User:
        """Return your own account."""
        return self._call(calls.me())

    def change_password(self, current: str, new: str) -> str:
        """Change your own password, which revokes all older tokens; use and return the new token."""
        return self._run(self._session.change_password(current, new))

    def api_keys(self) -> Iterator[results.ApiKey]:
        """Yield your API keys, newest first; those of all accounts for an admin."""
        return self._entries(calls.keys)

    def add_key(self, name: str, **options: object) -> results.NewApiKey:
        """Create an API key; the options are `models`, `actions`, `expires_in` and `description`."""
        return self._call(calls.add_key(name, options))

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key by its id."""
        self._call(calls.revoke_key(key_id))

    def users(self) -> Iterator[results.User]:
        """Yield all accounts, by name (as an admin)."""
        return self._entries(calls.users)

    def user_events(self, limit: int | None = None) -> Iterator[results.UserEvent]:
        """Yield the changes of accounts, newest first (as an admin)."""
        return self._entries(calls.user_events, limit)

    def add_user(self, username: str, password: str, role: str = "user") -> results.User:
        """Add an account with the role `admin`, `user` or `viewer` (as an admin)."""
        return self._call(calls.add_user(username, password, role))

    def change_user(self, username: str, **changes: object) -> results.User:
        """Change the `role`, `disabled` or `password` of an account (as an admin)."""
        return self._call(calls.change_user(username, changes))

    def delete_user(self, username: str, *, erase: bool = False) -> None:
        """Delete an account (as an admin), with `erase` also its predictions."""
        self._call(calls.delete_user(username, erase=erase))

    def check(self) -> str:
        """Check that the server is Slipway's API, and return its version. This needs no credential."""
        return self._call(calls.welcome())

    def request(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send any request, such as to an endpoint without a method, and return the JSON of the response."""
        return self._call(calls.raw(method, path, json=json, params=params))
