"""The policy for secrets and names: keys, passwords, placeholders and account names."""

import string
from collections.abc import Callable
from random import Random

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
TRIED_FIRST = (
    *("PassWord", "qwerty123", "iloveyou", "passw0rd", "P@ssw0rd", "password123", "letmein123", "Changeme", "abcd1234"),
    *("12345678", "87654321", "1234567890", "0987654321", "123456789012", "abcdefgh", "HGFEDCBA", "xyzabcde"),
    *("qwertyui", "QwertyUiop", "poiuytrewq", "asdfghjkl", "qwertzui", "azertyuiop"),
)


def test_new_secrets_are_safe() -> None:
    assert why_key_is_unsafe(new_key()) is None
    assert why_password_is_unsafe(new_password(), "admin") is None


@pytest.mark.parametrize("make", [new_key, new_password])
def test_new_secrets_differ_and_need_no_quoting(make: Callable[[], str]) -> None:
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
        ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "is a well-known example"),
        ("a-string-secret-at-least-256-bits-long", "is a well-known example"),
        *(
            (key, "is a sequence or a repetition, which can be guessed")
            for key in (
                "0123456789abcdef0123456789abcdef",
                "0123456789ABCDEF" * 4,
                "12345678901234567890123456789012",
                "abcdefghijklmnopqrstuvwxyz0123456789",
                "9876543210zyxwvutsrqponmlkjihgfedcba",
                "qwertyuiopasdfghjklzxcvbnm123456",
                "abcdefgh12345678ABCDEFGH87654321",
                RANDOM[:20] * 2,
            )
        ),
    ],
)
def test_unsafe_key_has_a_reason(key: str, why: str) -> None:
    assert why_key_is_unsafe(key) == why


@pytest.mark.parametrize(
    "key",
    [RANDOM, "5e8f1c07a94d3b62f0e7d8c1954ab36d", "73950284615082937461948205730016", "åþëàûçïôæùéðîãüø", RANDOM * 2],
    ids=["random", "hexadecimal", "digits", "16 of 2 bytes", "twice what is long enough"],
)
def test_a_random_key_of_32_bytes_is_safe(key: str) -> None:
    assert why_key_is_unsafe(key) is None


def test_random_keys_are_accepted() -> None:
    random = Random(7)  # noqa: S311  # the same keys each time
    alphabets = (string.hexdigits[:16], string.ascii_lowercase, string.ascii_letters + string.digits + "-_")

    keys = ["".join(random.choices(alphabet, k=32)) for alphabet in alphabets for _ in range(2_000)]

    assert [key for key in keys if why_key_is_unsafe(key)] == []


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven77", "must have 8 to 128 characters"),
        ("x" * (MAX_PASSWORD_LENGTH + 1), "must have 8 to 128 characters"),
        ("Grace.Hopper", "must not be the user's name"),
        *((password, "is one of those that are tried first") for password in TRIED_FIRST),
        *((password, "must have 3 different characters or more") for password in ("1" * 8, " " * 8, "aAbBaabb")),
    ],
)
def test_unsafe_password_has_a_reason(password: str, why: str) -> None:
    assert why_password_is_unsafe(password, "grace.hopper") == why


@pytest.mark.parametrize(
    "password",
    [
        *("correct-horse-7", "s3cret-Passw0rd", "wonderland-42", "eight888", "grace.hopper2", "密码密码密码密码。"),
        *("abcdefgi", "qwerty7!", "12345679", "1357924680", "xyz" + "x" * (MAX_PASSWORD_LENGTH - 3)),
    ],
)
def test_an_ordinary_password_is_safe(password: str) -> None:
    assert why_password_is_unsafe(password, "grace.hopper") is None


@pytest.mark.parametrize("password", ["changeme", "Change-Me-Please", "change_me", "EXAMPLE1", "placeholder"])
def test_a_password_from_an_example_is_a_placeholder(password: str) -> None:
    assert is_placeholder_password(password)


@pytest.mark.parametrize("password", ["", "exchange-me-not", "an example", "q3Zk8vTn"])
def test_other_password_is_not_a_placeholder(password: str) -> None:
    assert not is_placeholder_password(password)


@pytest.mark.parametrize("name", ["a", "7", "ada.lovelace_1815@example.org", "me-too", "x" * 64, "01939c4e-5f0e-4c3a"])
def test_name_of_plain_characters_is_accepted(name: str) -> None:
    assert why_name_is_refused(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "1 to 64") for name in ("", "-x", "Ada", "a b", "x" * 65, "a/b", "a\n")),
        *(
            (name, "no account can be named like an id")
            for name in ("01939c4e-5f0e-4c3a-9d2b-3a1f0c9d7e55", "01939c4e5f0e4c3a9d2b3a1f0c9d7e55", "7" * 32)
        ),
        *((name, f"/users/{name} means something else") for name in ("me", "events")),
    ],
)
def test_invalid_name_has_a_reason(name: str, why: str) -> None:
    assert why in (why_name_is_refused(name) or "")
