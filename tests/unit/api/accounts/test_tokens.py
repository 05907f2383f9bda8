"""Tokens: what they say, and which are taken."""

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


def test_a_token_names_the_account_and_its_version(tokens: Tokens) -> None:
    claims = tokens.verify(tokens.issue(ACCOUNT).encode())

    assert (claims.user_id, claims.version) == (ACCOUNT.id, 3)


def test_a_token_has_the_claims_that_are_documented(tokens: Tokens, clock: Clock) -> None:
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


def test_no_two_tokens_have_one_id(tokens: Tokens) -> None:
    one, two = (jwt.get_unverified_claims(tokens.issue(ACCOUNT))["jti"] for _ in range(2))

    assert one != two


def test_a_token_is_taken_until_it_expires(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT)

    clock.now += TTL_SECONDS - 1
    tokens.verify(token.encode())
    clock.now += 1
    with pytest.raises(AuthenticationError, match="has expired; get a new one"):
        tokens.verify(token.encode())


def test_who_brings_an_expired_token_is_told_that_it_expired() -> None:
    an_hour_ago = Clock(time.time() - 3_600)
    token = Tokens(SECRET_KEY, TTL_SECONDS, an_hour_ago).issue(ACCOUNT)

    with pytest.raises(AuthenticationError, match="has expired; get a new one"):
        Tokens(SECRET_KEY, TTL_SECONDS).verify(token.encode())


def test_a_token_of_a_clock_that_is_a_little_ahead_is_taken(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT)

    clock.now -= CLOCK_SKEW_SECONDS
    tokens.verify(token.encode())
    clock.now -= 1
    with pytest.raises(AuthenticationError, match="is not valid"):
        Tokens(SECRET_KEY, TTL_SECONDS, clock).verify(token.encode())


def test_one_changed_character_ends_a_token(tokens: Tokens) -> None:
    header, claims, signature = tokens.issue(ACCOUNT).split(".")
    other = "A" if claims[10] != "A" else "B"

    with pytest.raises(AuthenticationError):
        tokens.verify(f"{header}.{claims[:10]}{other}{claims[11:]}.{signature}".encode())


@settings(deadline=None)
@given(text=st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}", fullmatch=True))
def test_no_text_but_a_token_is_taken(text: str) -> None:
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
def test_a_signed_token_with_senseless_claims_is_refused_and_nothing_else(claims: dict[str, object]) -> None:
    tokens = Tokens(SECRET_KEY, TTL_SECONDS)
    right = jwt.get_unverified_claims(tokens.issue(ACCOUNT))
    forged = jwt.encode({**right, **claims}, SECRET_KEY, algorithm="HS256")

    try:
        verified = tokens.verify(forged.encode())
    except AuthenticationError:
        return
    assert (verified.user_id, verified.version) == (uuid.UUID(str({**right, **claims}["sub"])), claims.get("ver", 3))


# What is remembered


def test_a_token_that_was_verified_is_not_decoded_again(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.issue(ACCOUNT).encode()
    claims = tokens.verify(token)
    monkeypatch.setattr(tokens, "_read", None)  # calling it would fail

    assert tokens.verify(token) is claims


def test_a_remembered_token_expires_in_time(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(ACCOUNT).encode()
    tokens.verify(token)

    clock.now += TTL_SECONDS

    for _ in range(2):
        with pytest.raises(AuthenticationError, match="has expired"):
            tokens.verify(token)


def test_no_more_tokens_are_remembered_than_fit(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_REMEMBERED", 3)
    issued = [tokens.issue(ACCOUNT).encode() for _ in range(5)]

    for token in issued:
        tokens.verify(token)

    assert list(tokens._remembered) == issued[2:]
    assert {tokens.verify(token).user_id for token in issued} == {ACCOUNT.id}


def test_what_is_refused_is_not_remembered(tokens: Tokens) -> None:
    with pytest.raises(AuthenticationError):
        tokens.verify(b"a.b.c")

    assert tokens._remembered == {}


def test_a_token_that_is_written_at_length_is_refused(tokens: Tokens) -> None:
    # The decoder skips what is no base64: it would be the same token, remembered once for each way to write it.
    token = tokens.issue(ACCOUNT) + "!" * MAX_TOKEN_BYTES

    with pytest.raises(AuthenticationError):
        tokens.verify(token.encode())
