"""JSON web tokens: made at login, checked at every call."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from jose import JWTError, jwt

from slipway_api.accounts.models import Account
from slipway_api.errors import AuthenticationError

ALGORITHM = "HS256"
ISSUER = "slipway"
AUDIENCE = "slipway-api"
CLOCK_SKEW_SECONDS = 30
REQUIRED_CLAIMS = ("sub", "exp", "iat", "jti", "iss", "aud", "role", "ver")
REFUSED = "the token is not valid; get a new one from POST /token"
EXPIRED = "the token has expired; get a new one from POST /token"
# Of verified tokens that are remembered: about 1 MB.
MAX_REMEMBERED = 2048
# Ours have some 350; a decoder skips what is no base64, so that one token could be written at any length.
MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True)
class Claims:
    """What a verified token says.

    Attributes:
        user_id: the account's immutable id.
        version: the account's version when the token was made; an older one is refused.
        issued: when it was made, seconds since 1970.
        expires: until when it is valid, seconds since 1970.
    """

    user_id: uuid.UUID
    version: int
    issued: float
    expires: float


class Tokens:
    """Makes and verifies tokens with one key.

    A signature costs a hundred times what a look into a dictionary does, and a client sends the same token again and
    again, so what was verified is remembered until it expires. Whether its account may still use it is not: that is
    asked of the accounts at every call.
    """

    def __init__(self, secret_key: str, ttl_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._key = secret_key
        self.ttl_seconds = ttl_seconds
        self._clock = clock
        self._remembered: dict[bytes, Claims] = {}

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

    def verify(self, token: bytes) -> Claims:
        """Check a token's signature, times, issuer and audience.

        Raises:
            AuthenticationError: it is refused.
        """
        claims = self._remembered.get(token)
        if claims is None:
            if len(token) > MAX_TOKEN_BYTES:
                raise AuthenticationError(REFUSED)
            claims = self._read(token)
            if len(self._remembered) >= MAX_REMEMBERED:  # the one that has been there longest makes room
                self._remembered.pop(next(iter(self._remembered)), None)
            self._remembered[token] = claims
        if not self._clock() < claims.expires:
            self._remembered.pop(token, None)
            raise AuthenticationError(EXPIRED)
        return claims

    def _read(self, token: bytes) -> Claims:
        options = {f"require_{name}": True for name in REQUIRED_CLAIMS if name not in {"exp", "role", "ver"}}
        try:
            # The clock is ours, so that it can be set in tests: the library checks no times.
            claims = jwt.decode(
                token.decode("ascii"),
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
            raise AuthenticationError(EXPIRED)
        return Claims(user_id, version, issued, expires)
