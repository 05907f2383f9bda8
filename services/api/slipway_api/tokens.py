"""JSON web tokens: made at login, checked at every call."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from jose import JWTError, jwt

from slipway_api.accounts import Account
from slipway_api.errors import AuthenticationError

ALGORITHM = "HS256"
ISSUER = "slipway"
AUDIENCE = "slipway-api"
CLOCK_SKEW_SECONDS = 30
REQUIRED_CLAIMS = ("sub", "exp", "iat", "jti", "iss", "aud", "role", "ver")
REFUSED = "the token is not valid; get a new one from POST /token"


@dataclass(frozen=True)
class Claims:
    """What a verified token says.

    Attributes:
        user_id: the account's immutable id.
        version: the account's version when the token was made; an older one is refused.
    """

    user_id: uuid.UUID
    version: int


class Tokens:
    """Makes and verifies tokens with one key."""

    def __init__(self, secret_key: str, ttl_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._key = secret_key
        self.ttl_seconds = ttl_seconds
        self._clock = clock

    def issue(self, account: Account) -> str:
        """Return a new token for an account (RFC 7519, signed with HMAC-SHA256)."""
        now = int(self._clock())
        claims = {
            "sub": str(account.id),
            "iat": now,
            "exp": now + self.ttl_seconds,
            "jti": str(uuid.uuid4()),
            "iss": ISSUER,
            "aud": AUDIENCE,
            # For clients to read. What holds is the account's role now, not the one that the token was made with.
            "role": account.role,
            "ver": account.version,
        }
        token: str = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        return token

    def verify(self, token: str) -> Claims:
        """Check a token's signature, times, issuer and audience.

        Raises:
            AuthenticationError: it is refused.
        """
        options = {f"require_{name}": True for name in REQUIRED_CLAIMS if name not in {"exp", "role", "ver"}}
        try:
            # The clock is ours, so that it can be set in tests: the library checks no times.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={**options, "verify_exp": False, "verify_nbf": False, "verify_iat": True},
            )
            now = self._clock()
            user_id, version, _ = uuid.UUID(claims["sub"]), claims["ver"], claims["role"]
            expires, issued, begins = float(claims["exp"]), float(claims["iat"]), float(claims.get("nbf", 0))
        except (JWTError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise AuthenticationError(REFUSED) from error
        if type(version) is not int or max(issued, begins) > now + CLOCK_SKEW_SECONDS:
            raise AuthenticationError(REFUSED)
        if not now < expires:
            raise AuthenticationError("the token has expired; get a new one from POST /token")
        return Claims(user_id, version)
