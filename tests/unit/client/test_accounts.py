"""Logins, renewed tokens, accounts and models of a real API."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from slipway_api.accounts.models import Role
from slipway_client import AsyncClient, AuthenticationError, Client, ConflictError, NotFoundError, PermissionDeniedError
from support.api import NAMES, PASSWORD, RunningApi
from support.bundles import FEATURES, GOLDEN_ROWS
from support.client_transports import URL, AsyncTransport, SyncTransport

NAME = NAMES[Role.USER]


@pytest.fixture
def zoe(admin: Client) -> Iterator[str]:
    """An account whose tokens a test may revoke."""
    yield admin.add_user("zoe", PASSWORD)["username"]
    admin.delete_user("zoe")


def end_tokens(admin: Client, name: str) -> None:
    """Make the API reject all tokens of an account, as if they had expired."""
    admin.change_user(name, disabled=True)
    admin.change_user(name, disabled=False)


def test_login_gets_a_token(transport: SyncTransport) -> None:
    with Client(URL, transport=transport).login(NAME, PASSWORD) as client:
        assert client.me()["username"] == NAME
        assert client.token

    assert transport.requests[0].read() == f"username={NAME}&password={PASSWORD.replace(' ', '+')}".encode()


def test_wrong_password_is_rejected(transport: SyncTransport) -> None:
    with Client(URL, transport=transport) as client, pytest.raises(AuthenticationError, match="password is wrong"):
        client.login(NAME, "a wrong password", keep=True)

    assert len(transport.requests) == 1


def test_expired_token_is_renewed_if_the_password_is_kept(admin: Client, transport: SyncTransport, zoe: str) -> None:
    with Client(URL, transport=transport).login(zoe, PASSWORD, keep=True) as client:
        end_tokens(admin, zoe)
        transport.requests.clear()

        assert client.me()["username"] == zoe
        assert [request.url.path for request in transport.requests] == ["/users/me", "/token", "/users/me"]
        assert PASSWORD not in repr(client)


def test_expired_token_is_an_error_by_default(admin: Client, transport: SyncTransport, zoe: str) -> None:
    with Client(URL, transport=transport).login(zoe, PASSWORD) as client:
        end_tokens(admin, zoe)

        with pytest.raises(AuthenticationError):
            client.me()


def test_renewal_of_a_disabled_account_fails_once(admin: Client, transport: SyncTransport, zoe: str) -> None:
    with Client(URL, transport=transport).login(zoe, PASSWORD, keep=True) as client:
        admin.change_user(zoe, disabled=True)
        transport.requests.clear()

        with pytest.raises(AuthenticationError):
            client.me()
        assert len(transport.requests) == 2


def test_concurrent_requests_of_an_expired_token_are_all_renewed(api: RunningApi, admin: Client, zoe: str) -> None:
    async def run() -> list[str]:
        async with AsyncClient(URL, transport=AsyncTransport(api)) as client:
            await client.login(zoe, PASSWORD, keep=True)
            await asyncio.to_thread(end_tokens, admin, zoe)
            return [user["username"] for user in await asyncio.gather(*[client.me() for _ in range(5)])]

    assert asyncio.run(run()) == [zoe] * 5


def test_accounts_are_managed(admin: Client, transport: SyncTransport) -> None:
    new = "another horse battery"
    added = admin.add_user("bob@example.com", PASSWORD, "viewer")
    assert (added["username"], added["role"], added["disabled"]) == ("bob@example.com", "viewer", False)
    with pytest.raises(ConflictError):
        admin.add_user("bob@example.com", PASSWORD)
    assert admin.change_user("bob@example.com", role="user")["role"] == "user"
    assert "bob@example.com" in [user["username"] for user in admin.users()]

    with Client(URL, transport=transport).login("bob@example.com", PASSWORD, keep=True) as client:
        first = client.token
        assert client.change_password(PASSWORD, new) == client.token != first
        assert client.me()["username"] == "bob@example.com"
        admin.change_user("bob@example.com", role="viewer")  # revokes the token; the new password is kept
        assert client.me()["role"] == "viewer"
        with pytest.raises(PermissionDeniedError):
            list(client.users())

    assert [event["action"] for event in admin.user_events(limit=2)] != []
    assert len([*admin.user_events(limit=3)]) == 3
    admin.delete_user("bob@example.com", erase=True)
    with pytest.raises(NotFoundError):
        admin.change_user("bob@example.com", disabled=True)


def test_logout_revokes_the_token(transport: SyncTransport, zoe: str) -> None:
    with Client(URL, transport=transport).login(zoe, PASSWORD, keep=True) as client:
        token = client.token
        client.logout()
        assert client.token is None
        with pytest.raises(AuthenticationError):
            client.me()
    with Client(URL, token=token, transport=transport) as client, pytest.raises(AuthenticationError):
        client.me()


def test_api_key_permits_what_it_names(client: Client, transport: SyncTransport) -> None:
    flowers = pd.DataFrame(GOLDEN_ROWS, columns=list(FEATURES))
    predict_only = client.add_key("nightly", models=["iris"], expires_in=3_600)
    reading = client.add_key("weekly", actions=["predict", "read"])
    assert [key["name"] for key in client.api_keys()] == ["weekly", "nightly"]

    with Client(URL, api_key=predict_only["key"], transport=transport) as program:
        found = program.predict(flowers, "iris")
        with pytest.raises(PermissionDeniedError):
            program.predict([1.0, 2.0, 3.0, 4.0], "demand")
        with pytest.raises(PermissionDeniedError):
            program.models()
    with Client(URL, api_key=reading["key"], transport=transport) as program:
        named = program.predict(flowers, "iris")

    assert "probability_0" in found.columns
    assert "probability_setosa" in named.columns
    for key in (predict_only, reading):
        client.revoke_key(key["id"])
        with Client(URL, api_key=key["key"], transport=transport) as program, pytest.raises(AuthenticationError):
            program.predict([1.0, 2.0, 3.0, 4.0], "iris")


def test_models_are_described(client: Client, admin: Client) -> None:
    assert {"iris", "demand"} <= {model["model_name"] for model in client.models()}
    assert client.model_info()["model_name"] == "iris"
    assert client.model("iris", "1")["signature"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert client.model("demand")["signature"]["classes"] is None
    assert admin.reload("iris")["changed"] is False
    assert client.request("GET", "/health/ready")["status"] == "ready"
    assert client.check()


def test_async_methods_reach_the_api(api: RunningApi) -> None:
    async def run() -> dict[str, Any]:
        async with AsyncClient(URL, token=api.token(Role.ADMIN), transport=AsyncTransport(api)) as client:
            await client.add_user("carl", PASSWORD)
            found = {
                "version": await client.check(),
                "models": len(await client.models()),
                "model": (await client.model("iris"))["model_name"],
                "default": (await client.model_info())["model_name"],
                "changed": (await client.reload("iris"))["changed"],
                "ready": (await client.request("GET", "/health/ready"))["status"],
                "role": (await client.change_user("carl", role="viewer"))["role"],
                "users": [user["username"] async for user in client.users()],
                "events": [event["action"] async for event in client.user_events(limit=1)],
            }
            await client.delete_user("carl")
            key = await client.add_key("nightly")
            found["keys"] = [one["id"] == key["id"] async for one in client.api_keys()]
            await client.revoke_key(key["id"])
            result = await client.predict([5.1, 3.5, 1.4, 0.2])
            await asyncio.to_thread(api.ship)
            found["logged"] = (await client.prediction(result.id))["id"] == result.id
            return found

    found = asyncio.run(run())

    assert (found["model"], found["default"], found["changed"], found["ready"]) == ("iris", "iris", False, "ready")
    assert (found["role"], found["logged"], len(found["events"])) == ("viewer", True, 1)
    assert "carl" in found["users"]
    assert found["version"]
    assert found["models"] >= 2
    assert found["keys"] == [True]
