"""Easily guessed secrets: common passwords, keys from documentation, sequences and repetitions."""

from itertools import pairwise

# In lower case, with at least 8 characters. Passwords that `is_run` detects are not listed.
COMMON_PASSWORDS = frozenset(
    """
    password password1 password12 password123 password1234 password! password1!
    passw0rd passw0rd1 p@ssword p@ssword1 p@ssw0rd p@ssw0rd1 pa$$word pa$$w0rd
    letmein1 letmein123 welcome1 welcome123 welcome! changeme changeme123
    admin123 admin1234 admin12345 admin@123 adminadmin administrator root1234 rootroot slipway1 slipway123
    test1234 testing123 user1234 demo1234 secret123 hello123
    qwerty12 qwerty123 qwerty1234 qwerty123456 1q2w3e4r 1q2w3e4r5t 1qaz2wsx q1w2e3r4 qazwsxedc zaq12wsx
    qwer1234 1234qwer asdf1234 asdfasdf qweasdzxc 123qweasd zxcvbnm1
    abcd1234 1234abcd abc12345 abc123456 a1b2c3d4 a1234567 a12345678 aa123456 12345678a 123456789a
    12341234 123123123 11223344 147258369 789456123 741852963
    iloveyou iloveyou1 sunshine princess princess1 football football1 baseball baseball1 basketball
    superman superman1 batman123 spiderman starwars pokemon123 dragon123 monkey123 shadow123 master123
    michael1 jennifer charlie1 computer internet whatever trustno1 liverpool chocolate
    """.split()  # noqa: SIM905  # a hundred lines would say no more
)

# From FastAPI's tutorial, Flask's documentation and the debugger of jwt.io.
KNOWN_KEYS = frozenset(
    {
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "a-string-secret-at-least-256-bits-long",
        "a-valid-string-secret-that-is-at-least-384-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    }
)

# The alphabet, the digits, and the letters of the keyboards QWERTY, QWERTZ and AZERTY, by row. Each wraps around.
_LINES = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)
_NEIGHBOURS = frozenset(pair for line in _LINES for one in (line, line[::-1]) for pair in pairwise(one + one[0]))
# A text of runs has at most one break per this many characters. In a random key, at most one in five pairs of
# characters are neighbours (if all are digits). So fewer than one of 10**15 random 32-character keys is rejected.
_RUN_LENGTH = 8


def is_run(text: str) -> bool:
    """Return whether a text is one run along the alphabet, the digits or a keyboard, forwards or backwards."""
    lowered = text.lower()
    rounds = (line * (len(lowered) // len(line) + 2) for line in _LINES)
    return any(lowered in round_ or lowered[::-1] in round_ for round_ in rounds)


def is_made_of_runs(text: str) -> bool:
    """Return whether a text consists of runs of at least eight characters on average, such as the alphabet."""
    lowered = text.lower()
    breaks = sum(pair not in _NEIGHBOURS for pair in pairwise(lowered))
    return breaks < len(lowered) // _RUN_LENGTH


def period(text: str) -> int:
    """Return the length of the shortest piece whose repetition gives the text; the last piece may be incomplete."""
    return next((n for n in range(1, len(text)) if text.startswith(text[n:])), len(text))
