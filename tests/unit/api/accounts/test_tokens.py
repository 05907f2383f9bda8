"""Tokens: their claims, and which are valid."""

import math
import time
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jose import jwt

from slipway_api.accounts import tokens as tokens_module
from slipway_api.accounts.models import Account, Role
from slipway_api.accounts.tokens import CLOCK_SKEW_SECONDS, MAX_TOKEN_BYTES, Tokens
from slipway_api.errors import AuthenticationError
from support.api import SECRET_KEY
from support.clock import Clock

ACCOUNT = Account(uuid.uuid4(), "ada", Role.ADMIN, 3, disabled=False, created_at=datetime.now(UTC))
TTL_SECONDS = 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(SECRET_KEY, TTL_SECONDS, clock)


def test_claims_hold_account_id_and_version(tokens: Tokens) -> None:
    claims = tokens.verify(tokens.issue(ACCOUNT).encode())

    assert (claims.user_id, claims.version) == (ACCOUNT.id, 3)


def test_token_has_documented_claims(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT)

    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.get_unverified_claims(token)
    assert claims.pop("jti")
    assert claims == {
        "sub": str(ACCOUNT.id),
        "iat": clock.now,
        "exp": clock.now + TTL_SECONDS,
        "iss": "slipway",
        "aud": "slipway-api",
        "role": "admin",
        "ver": 3,
    }


def test_tokens_have_distinct_ids(tokens: Tokens) -> None:
    one, two = (jwt.get_unverified_claims(tokens.issue(ACCOUNT))["jti"] for _ in range(2))

    assert one != two


def test_token_is_valid_until_it_expires(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT)

    clock.now += TTL_SECONDS - 1
    tokens.verify(token.encode())
    clock.now += 1
    with pytest.raises(AuthenticationError, match="has expired; get a new one"):
        tokens.verify(token.encode())


def test_expired_token_is_reported_as_expired() -> None:
    an_hour_ago = Clock(time.time() - 3_600)
    token = Tokens(SECRET_KEY, TTL_SECONDS, an_hour_ago).issue(ACCOUNT)

    with pytest.raises(AuthenticationError, match="has expired; get a new one"):
        Tokens(SECRET_KEY, TTL_SECONDS).verify(token.encode())


def test_token_from_clock_slightly_ahead_is_valid(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT)

    clock.now -= CLOCK_SKEW_SECONDS
    tokens.verify(token.encode())
    clock.now -= 1
    with pytest.raises(AuthenticationError, match="is not valid"):
        Tokens(SECRET_KEY, TTL_SECONDS, clock).verify(token.encode())


def test_token_with_changed_character_is_rejected(tokens: Tokens) -> None:
    header, claims, signature = tokens.issue(ACCOUNT).split(".")
    other = "A" if claims[10] != "A" else "B"

    with pytest.raises(AuthenticationError):
        tokens.verify(f"{header}.{claims[:10]}{other}{claims[11:]}.{signature}".encode())


@settings(deadline=None)
@given(text=st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}", fullmatch=True))
def test_arbitrary_text_is_rejected_as_token(text: str) -> None:
    with pytest.raises(AuthenticationError):
        Tokens(SECRET_KEY, TTL_SECONDS).verify(text.encode())


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


@settings(deadline=None)
@given(
    claims=st.dictionaries(
        st.sampled_from(["sub", "exp", "iat", "nbf", "jti", "iss", "aud", "role", "ver"]), JSON_VALUES, min_size=1
    )
)
@example(claims={"iat": math.inf})
@example(claims={"exp": math.inf})
def test_signed_token_with_invalid_claims_is_rejected(claims: dict[str, object]) -> None:
    tokens = Tokens(SECRET_KEY, TTL_SECONDS)
    right = jwt.get_unverified_claims(tokens.issue(ACCOUNT))
    forged = jwt.encode({**right, **claims}, SECRET_KEY, algorithm="HS256")

    try:
        verified = tokens.verify(forged.encode())
    except AuthenticationError:
        return
    assert (verified.user_id, verified.version) == (uuid.UUID(str({**right, **claims}["sub"])), claims.get("ver", 3))


# The cache of verified tokens


def test_verified_token_is_not_decoded_again(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.issue(ACCOUNT).encode()
    claims = tokens.verify(token)
    monkeypatch.setattr(tokens, "_read", None)  # calling it would fail

    assert tokens.verify(token) is claims


def test_cached_token_expires_in_time(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT).encode()
    tokens.verify(token)

    clock.now += TTL_SECONDS

    for _ in range(2):
        with pytest.raises(AuthenticationError, match="has expired"):
            tokens.verify(token)


def test_token_cache_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_CACHED_TOKENS", 3)
    issued = [tokens.issue(ACCOUNT).encode() for _ in range(5)]

    for token in issued:
        tokens.verify(token)

    assert list(tokens._verified) == issued[2:]
    assert {tokens.verify(token).user_id for token in issued} == {ACCOUNT.id}


def test_rejected_token_is_not_cached(tokens: Tokens) -> None:
    with pytest.raises(AuthenticationError):
        tokens.verify(b"a.b.c")

    assert tokens._verified == {}


def test_overlong_token_is_rejected(tokens: Tokens) -> None:
    # The decoder skips characters that are not base64, so each spelling of the token would fill a place in the cache.
    token = tokens.issue(ACCOUNT) + "!" * MAX_TOKEN_BYTES

    with pytest.raises(AuthenticationError):
        tokens.verify(token.encode())
