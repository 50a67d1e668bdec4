"""LiveKit's access tokens as credentials: whoever may be in a room may watch that room's events.

Tokens are JSON Web Tokens signed with HS256 and LIVEKIT_API_SECRET; the claims are those of LiveKit's `ClaimGrants`
(https://docs.livekit.io/home/get-started/authentication/).
"""

from __future__ import annotations

import hashlib
import hmac
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..errors import RequestError
from ..filters import NOTHING, Scope
from .principal import Grant, Principal

_LEEWAY = 60
"""Seconds by which a token may be from the future, as in LiveKit's libraries. Its expiry is exact."""
LONGEST = 16 << 10
_CACHED = 2048
"""Tokens whose signature need not be verified again."""
_WATCHES = ("roomJoin", "roomAdmin", "roomRecord", "hidden")
"""Grants that let their holder see or hear what happens in the room."""


def pyjwt() -> ModuleType:
    """PyJWT, imported on first use. It warns of secrets under 32 bytes; that of `livekit-server --dev` has six."""
    import jwt

    warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)
    return jwt


class LiveKitTokens:
    """Verifies tokens signed with the secret of one LiveKit API key."""

    def __init__(self, key: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._secret = secret
        self._clock = clock
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()

    def principal(self, token: str) -> Principal:
        """The principal of a token; raises `RequestError`."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._verified.get(digest)
        if found is None:
            found = _principal(self._claims(token))
            self._verified[digest] = found
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        if found.expires is None or found.expires <= self._clock():
            raise RequestError("credential_expired", "the LiveKit token has expired")
        return found

    def _claims(self, token: str) -> dict[str, Any]:
        jwt = pyjwt()
        if len(token) > LONGEST:
            raise RequestError("bad_credential", f"the token has more than {LONGEST} characters")
        options = {"require": ["exp", "iss"], "verify_aud": False, "verify_sub": False, "verify_jti": False}
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._secret, algorithms=["HS256"], leeway=_LEEWAY, options=options
            )
        except jwt.ExpiredSignatureError:
            raise RequestError("credential_expired", "the LiveKit token has expired") from None
        except jwt.ImmatureSignatureError:
            raise RequestError("bad_credential", "the LiveKit token is not valid yet; are both clocks right?") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError, TypeError):
            raise RequestError("bad_credential", "the token is not signed with this hub's LIVEKIT_API_SECRET") from None
        issuer = claims["iss"]
        if not isinstance(issuer, str) or not hmac.compare_digest(issuer.encode(), self._key.encode()):
            raise RequestError("bad_credential", "the LiveKit token is not for this hub's LIVEKIT_API_KEY")
        return claims

    def may_record(self, token: str) -> bool:
        """Whether a token lets its holder upload recordings and traces; raises `RequestError` if it is not valid."""
        observability = self._claims(token).get("observability")
        return isinstance(observability, dict) and observability.get("write") is True


def _principal(claims: dict[str, Any]) -> Principal:
    """The principal of verified claims."""
    identity = claims.get("sub")
    identity = identity[:64] if isinstance(identity, str) and identity.isprintable() and identity else "a participant"
    expires = float(claims["exp"])
    return Principal("livekit", f"LiveKit's {identity}", grant_of(claims), expires=expires)


def grant_of(claims: dict[str, Any]) -> Grant:
    """What a token allows here. A room's name is exact, whatever it contains. Grants must be `true`, not just true-ish."""
    video = claims.get("video")
    if not isinstance(video, dict):
        return Grant()
    room = video.get("room")
    scope = Scope((room,)) if isinstance(room, str) and room else NOTHING
    watches = any(video.get(name) is True for name in _WATCHES) and video.get("canSubscribe") is not False
    agent = claims.get("kind") == "agent" or video.get("agent") is True
    # A worker signs its own token, without a room: `agent` alone. It takes the API key's secret, so it may publish for any.
    worker = agent and video.get("agent") is True and not room and not watches
    publish = (None if worker else scope) if agent else NOTHING
    return Grant(publish=publish, subscribe=scope if watches else NOTHING)
