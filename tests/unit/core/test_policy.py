"""The policy for secrets and names: keys, passwords, placeholders and account names."""

import string
from collections.abc import Callable
from random import Random

import pytest

from slipway_core.policy import (
    MAX_PASSWORD_LENGTH,
    new_key,
    new_password,
    why_key_is_unsafe,
    why_name_is_refused,
    why_password_is_unsafe,
)

RANDOM = "q3Zk8vTn1bXw6RjY0mLs5HgPd2FcUe7a"


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
        *(
            (key, "contains a part of a well-known example")
            for key in (
                f"change-me-{RANDOM}",
                f"{RANDOM}EXAMPLE{RANDOM}",
                "your-secret-key-goes-here-0123456789",
                "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
                "a-string-secret-at-least-256-bits-long",
                "abcdefghijklmnopqrstuvwxyz0123456789",
                "qwertyuiopasdfghjklzxcvbnm123456",
            )
        ),
        *(
            (key, "repeats itself too much to be random")
            for key in ("x" * 64, "mlops" * 10, "0246802468" * 4, "fedcba9876543210" * 2, RANDOM[:20] * 2)
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


EASY = "too easy to guess"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("q7#Zk8v", "must have 8 to 128 characters"),
        ("q7#Zk8v " * 17, "must have 8 to 128 characters"),
        *((password, "a top-10 common password") for password in ("12345678", "PassWord")),
        *((password, "similar to a commonly used password") for password in ("P@ssw0rd", "letmein123", "poiuytrewq")),
        *((password, "Sequences like") for password in ("abcdefgh", "fghijklmnop")),
        *((password, "Repeats like") for password in ("        ", "xyzxyzxyzxyz", "x" * MAX_PASSWORD_LENGTH)),
        *((password, EASY) for password in ("Grace.Hopper", "hopper12", "grace.hopper7", "slipway2")),
        *((password, EASY) for password in ("changeme", "change_me", "EXAMPLE1", "placeholder", "administrator")),
        ("密码密码密码密码。", EASY),
        *((password, None) for password in ("x7y8z9ab", "wonderland-42", "correct horse", "zażółć gęślą jaźń")),
        *((password, None) for password in ("tab\tand\x00nul", "another horse " * 9, "4@8({[<3691!|105$+7%2" * 6)),
    ],
)
def test_password_must_be_hard_to_guess(password: str, why: str | None) -> None:
    found = why_password_is_unsafe(password, "grace.hopper")

    if why is None:
        assert found is None
    else:
        assert found is not None
        assert why.lower() in found.lower()
        assert password not in found


def test_password_must_differ_from_a_long_user_name() -> None:
    name = "someone-with-quite-a-long-name@department.example.org"

    assert why_password_is_unsafe(name, name) is not None


@pytest.mark.parametrize("name", ["a", "7", "ada.lovelace_1815@example.org", "me-too", "x" * 64, "01939c4e-5f0e-4c3a"])
def test_name_of_plain_characters_is_accepted(name: str) -> None:
    assert why_name_is_refused(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "1 to 64") for name in ("", "-x", "Ada", "a b", "x" * 65, "a/b", "a\n")),
        *(
            (name, "no account can have a UUID as its name")
            for name in ("01939c4e-5f0e-4c3a-9d2b-3a1f0c9d7e55", "01939c4e5f0e4c3a9d2b3a1f0c9d7e55", "7" * 32)
        ),
        *((name, f"/users/{name} is another route") for name in ("me", "events")),
    ],
)
def test_invalid_name_has_a_reason(name: str, why: str) -> None:
    assert why in (why_name_is_refused(name) or "")
