"""What a secret must be like: keys, passwords and placeholders."""

import string
from collections.abc import Callable

import pytest

from slipway_core.policy import (
    MAX_PASSWORD_LENGTH,
    is_placeholder_password,
    new_key,
    new_password,
    why_key_is_unsafe,
    why_name_is_refused,
    why_password_is_unsafe,
)

RANDOM = "q3Zk8vTn1bXw6RjY0mLs5HgPd2FcUe7a"


def test_a_new_key_is_safe() -> None:
    assert why_key_is_unsafe(new_key()) is None


def test_a_new_password_is_safe() -> None:
    assert why_password_is_unsafe(new_password(), "admin") is None


@pytest.mark.parametrize("make", [new_key, new_password])
def test_a_new_secret_is_another_each_time_and_needs_no_quoting(make: Callable[[], str]) -> None:
    secrets = {make() for _ in range(50)}

    assert len(secrets) == 50
    assert set("".join(secrets)) <= set(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "is shorter than 32 bytes"),
        (RANDOM[:31], "is shorter than 32 bytes"),
        ("abcdefg" * 10, "repeats too few characters to be random"),
        (f"change-me-{RANDOM}", "is a placeholder"),
        (f"{RANDOM}EXAMPLE{RANDOM}", "is a placeholder"),
        ("your-secret-key-goes-here-0123456789", "is a placeholder"),
    ],
)
def test_an_unsafe_key_is_told_why(key: str, why: str) -> None:
    assert why_key_is_unsafe(key) == why


@pytest.mark.parametrize(
    "key", [RANDOM, "0123456789abcdef" * 4, "àáâãäåæçèéêëìíîï"], ids=["random", "hex", "16 of 2 bytes"]
)
def test_a_random_key_of_32_bytes_is_safe(key: str) -> None:
    assert why_key_is_unsafe(key) is None


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven77", "must have 8 to 128 characters"),
        ("x" * (MAX_PASSWORD_LENGTH + 1), "must have 8 to 128 characters"),
        ("Grace.Hopper", "must not be the user's name"),
        ("PassWord", "is one of those that are tried first"),
    ],
)
def test_an_unsafe_password_is_told_why(password: str, why: str) -> None:
    assert why_password_is_unsafe(password, "grace.hopper") == why


@pytest.mark.parametrize("password", ["eight888", "x" * MAX_PASSWORD_LENGTH, "grace.hopper2", "密码密码密码密码"])
def test_a_password_of_allowed_length_is_safe(password: str) -> None:
    assert why_password_is_unsafe(password, "grace.hopper") is None


@pytest.mark.parametrize("password", ["changeme", "Change-Me-Please", "change_me", "EXAMPLE1", "placeholder"])
def test_a_password_from_an_example_is_a_placeholder(password: str) -> None:
    assert is_placeholder_password(password)


@pytest.mark.parametrize("password", ["", "exchange-me-not", "an example", "q3Zk8vTn"])
def test_another_password_is_no_placeholder(password: str) -> None:
    assert not is_placeholder_password(password)


@pytest.mark.parametrize("name", ["a", "7", "ada.lovelace_1815@example.org", "me-too", "x" * 64])
def test_a_name_of_plain_characters_is_taken(name: str) -> None:
    assert why_name_is_refused(name) is None


@pytest.mark.parametrize("name", ["", "-x", "Ada", "a b", "x" * 65, "a/b", "a\n"])
def test_any_other_name_is_refused_with_the_rule(name: str) -> None:
    assert "1 to 64" in (why_name_is_refused(name) or "")


@pytest.mark.parametrize("name", ["me", "events"])
def test_a_name_that_is_a_route_of_its_own_is_refused(name: str) -> None:
    assert f"/users/{name} means something else" in (why_name_is_refused(name) or "")
