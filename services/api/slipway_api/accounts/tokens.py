"""JSON web tokens: issued at login, verified at every request."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from jose import JWTError, jwt

from slipway_api.accounts.models import Account, CurrentToken
from slipway_api.errors import AuthenticationError

ALGORITHM = "HS256"
ISSUER = "slipway"
AUDIENCE = "slipway-api"
CLOCK_SKEW_SECONDS = 30
REQUIRED_CLAIMS = ("sub", "exp", "iat", "jti", "iss", "aud", "role", "ver")
INVALID = "the token is not valid; get a new one from POST /token"
TOKEN_REQUIRED = "this request needs a token: send `Authorization: Bearer …` with one from POST /token"  # noqa: S105
EXPIRED = "the token has expired; get a new one from POST /token"
# About 1 MB of verified tokens.
MAX_CACHED_TOKENS = 2048
# Issued tokens have about 350. The decoder skips characters that are not base64, so a token could have any length.
MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True)
class Claims:
    """The claims of a verified token.

    Attributes:
        user_id: the account's immutable id.
        version: the account's version when the token was issued; a later version revokes the token.
        issued: when the token was issued, in seconds since 1970.
        token: the token's own id, and when it expires.
    """

    user_id: uuid.UUID
    version: int
    issued: float
    token: CurrentToken


@dataclass(frozen=True)
class AccessToken:
    """A new token for a client.

    Attributes:
        expires_in: seconds until the token expires.
    """

    text: str = field(repr=False)
    expires_in: int


class Tokens:
    """Issues and verifies tokens with one key.

    Verifying a signature costs a hundred times as much as a dictionary lookup, and clients send the same token many
    times, so the claims of verified tokens are cached until the token expires. Whether the token was revoked is not
    cached: the directory of accounts decides that at every request.
    """

    def __init__(self, secret_key: str, ttl_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._key = secret_key
        self.ttl_seconds = ttl_seconds
        self._clock = clock
        self._verified: dict[bytes, Claims] = {}

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
            # For clients to read. The API uses the account's current role instead.
            "role": account.role,
            "ver": account.version,
        }
        token: str = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        return token

    def issue_access(self, account: Account) -> AccessToken:
        """Return a new token for an account, with its lifetime."""
        return AccessToken(self.issue(account), self.ttl_seconds)

    def verify(self, token: bytes) -> Claims:
        """Check a token's signature, times, issuer and audience.

        Raises:
            AuthenticationError: the token is invalid or has expired.
        """
        claims = self._verified.get(token)
        if claims is None:
            if len(token) > MAX_TOKEN_BYTES:
                raise AuthenticationError(INVALID)
            claims = self._read(token)
            if len(self._verified) >= MAX_CACHED_TOKENS:  # evict the oldest
                self._verified.pop(next(iter(self._verified)), None)
            self._verified[token] = claims
        if not self._clock() < claims.token.expires:
            self._verified.pop(token, None)
            raise AuthenticationError(EXPIRED)
        return claims

    def _read(self, token: bytes) -> Claims:
        options = {f"require_{name}": True for name in REQUIRED_CLAIMS if name not in {"exp", "role", "ver"}}
        try:
            # The library has no injectable clock, so the times are checked below.
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
            token_id = uuid.UUID(claims["jti"])
            expires, issued, begins = float(claims["exp"]), float(claims["iat"]), float(claims.get("nbf", 0))
        except (JWTError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise AuthenticationError(INVALID) from error
        if type(version) is not int or max(issued, begins) > now + CLOCK_SKEW_SECONDS:
            raise AuthenticationError(INVALID)
        if not now < expires:
            raise AuthenticationError(EXPIRED)
        return Claims(user_id, version, issued, CurrentToken(token_id, expires))
