"""Access to one hub: resolves each request's credential to a principal, and says when a principal has ended."""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

from ..errors import RequestError
from ..filters import Scope
from ..private_files import write_private
from ..settings import Settings, SettingsError
from . import livekit_secrets, signed
from .addresses import group, is_loopback
from .credentials import Credential, cookie_name, take
from .failures import FailedCredentials
from .key_entries import SHORT, KeyEntry
from .keys import KeyRing
from .limits import Limits
from .livekit import LiveKitTokens
from .needs import Need, authorise
from .principal import ANONYMOUS, KEY, LOCAL, Grant, Principal

logger = logging.getLogger(__name__)

COOKIE_SECONDS = 30 * 86_400
"""How long a browser stays signed in."""
LONGEST_SHARE = 90 * 86_400
_AGENT = Principal("agent", "an agent of this hub", Grant(publish=None))
_BAD = "bad_credential"
_ELSEWHERE = (
    "this hub is open to programs on its own machine, and requires no credential: it answers no other machine unless "
    "HUB_AUTH=open or keys are set"
)
_WAIT = "too many wrong credentials came from this address"


class Access:
    """Who may use this hub. `resolve` is called for each request, `ended` for each open stream, `reload` to rotate keys."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.required = settings.access_required
        """Whether requests need a credential; otherwise all may do everything."""
        self.cookie = cookie_name(settings.port)
        self._this_machine_only = settings.for_this_machine
        self.agent_is_live: Callable[[str], bool] = lambda _: False
        """Whether an agent that this hub has started may still publish. The hub sets it."""
        self.hide: Callable[[Iterable[str]], None] = lambda _: None
        """Told of the secrets of new keys, which no log may show. The hub sets it."""
        self._clock = clock
        self._settings = settings
        self._livekit: LiveKitTokens | None = None
        if settings.livekit_key and settings.livekit_secret:
            self._livekit = LiveKitTokens(settings.livekit_key, settings.livekit_secret.get_secret_value(), clock)
        self._livekit_is_public = settings.public_livekit_secret
        self._secret: bytes | None = None
        entries = settings.keys()
        self.secrets = [entry.secret for entry in entries]
        """Those of the keys at the start, which no log may show."""
        self._keys = self._key_ring(entries)
        self.limits = Limits(settings)
        self._failures = FailedCredentials()

    # -- requests ------------------------------------------------------------------------------------------------------

    def resolve(self, environ: MutableMapping[str, Any]) -> Principal:
        """The principal of the request, now in `environ` for `principal_of`. Raises `RequestError` for a request with two
        credentials, and for one from another machine to a hub that is open by default. A credential that is not valid gives
        an anonymous principal, which says so where a right is needed."""
        environ[KEY] = ANONYMOUS  # if this raises
        if self._this_machine_only and not is_loopback(_peer(environ)):
            take(environ, self.cookie)  # out of the request, so that no log repeats it
            raise RequestError("forbidden_address", _ELSEWHERE)
        credential = take(environ, self.cookie)
        principal = LOCAL if not self.required else ANONYMOUS if credential is None else self._of(credential, environ)
        environ[KEY] = principal
        return principal

    def _of(self, credential: Credential, environ: MutableMapping[str, Any]) -> Principal:
        try:
            found = self.of_cookie(credential.text) if credential.cookie else self.of(credential.text)
            if found.kind == "livekit" and self._livekit_is_public and not is_loopback(_peer(environ)):
                raise RequestError(_BAD, f"LIVEKIT_API_SECRET is not accepted: {livekit_secrets.REFUSED}")
            return found
        except RequestError as error:
            if not credential.cookie and error.kind.code == _BAD:
                error = self._count_failure(error, environ)
            return Principal("anonymous", "anonymous", Grant(), cookie=credential.cookie, refusal=error)

    def _count_failure(self, error: RequestError, environ: MutableMapping[str, Any]) -> RequestError:
        """The answer to a wrong credential: `error`, or that its address has to wait. A valid one is never delayed, or a
        stranger could lock out everyone behind the same address."""
        address = group(self.limits.address(environ))
        if wait := self._failures.wait(address):
            return RequestError("too_many_failures", _WAIT, retry_after=math.ceil(wait))
        self._failures.add(address)
        return error

    def of(self, text: str) -> Principal:
        """The principal of a credential; raises `RequestError`."""
        found = self._keys.find(text)
        if found is not None:
            return found
        if text.startswith("share."):
            return self._of_share(text)
        if text.startswith("agent."):
            return self._of_agent(text)
        if text.count(".") == 2 and self._livekit is not None:
            return self._livekit.principal(text)
        raise RequestError(_BAD, "the credential is not a key of this hub")

    def check_may_record(self, principal: Principal, authorization: str) -> None:
        """Raise `RequestError` unless a request may upload recordings and traces: with LiveKit's own token for that, or as
        one that may publish everything. `authorization`: its header."""
        scheme, _, token = authorization.strip().partition(" ")
        if self._livekit is not None and scheme.lower() == "bearer" and token.count(".") == 2:
            if principal.refusal is None:
                if self._livekit.may_record(token.strip()):
                    return
                raise RequestError(_BAD, "the token has no observability.write")
        elif principal.grant.publish is None:
            return
        authorise(principal, Need.PUBLISH)
        raise RequestError("forbidden", f"{principal.label} may publish for some rooms only, and so cannot upload")

    def of_cookie(self, text: str) -> Principal:
        """The principal of a sign-in cookie; raises `RequestError`."""
        payload = signed.verify(text, "cookie", self._signing_key)
        key = self._keys.by_id(str(payload.get("key"))) if payload is not None else None
        if payload is None or key is None:
            raise RequestError(_BAD, "the sign-in is no longer valid; sign in again")
        expires = self._expiry(payload, "the sign-in has expired; sign in again")
        return Principal("key", key.label, key.grant, expires=expires, key=key.key, cookie=True)

    def _of_agent(self, text: str) -> Principal:
        payload = signed.verify(text, "agent", lambda _: self.hub_secret())
        if payload is None:
            raise RequestError(_BAD, "the credential is not one of this hub's agents")
        if not self.agent_is_live(str(payload.get("agent"))):
            raise RequestError("credential_expired", "the agent that this credential was given to has ended")
        return _AGENT

    def _of_share(self, text: str) -> Principal:
        payload = signed.verify(text, "share", self._signing_key)
        key = self._keys.by_id(str(payload.get("key"))) if payload is not None else None
        if payload is None or key is None or not key.grant.control:
            raise RequestError(_BAD, "the link is not valid, or the key that it was made with has been removed")
        expires = self._expiry(payload, "the link has expired")
        session = payload.get("session")
        rooms = tuple(map(str, payload.get("rooms", ())))
        globs = tuple(map(str, payload.get("globs", ())))
        scope = Scope(rooms, globs, str(session) if session is not None else None)
        return Principal("share", "a shared link", Grant(subscribe=scope), expires=expires, key=str(payload["key"]))

    def _signing_key(self, payload: dict[str, Any]) -> bytes | None:
        return self._keys.signing_key(str(payload.get("key")))

    def _expiry(self, payload: dict[str, Any], expired: str) -> float:
        expires = payload.get("exp")
        if not isinstance(expires, int | float) or expires <= self._clock():
            raise RequestError("credential_expired", expired)
        return float(expires)

    # -- streams -------------------------------------------------------------------------------------------------------

    def ended(self, principal: Principal) -> str | None:
        """Why the streams of this principal have to end; None while they may go on."""
        if principal.expires is not None and principal.expires <= self._clock():
            return "token_expired"
        if principal.key is not None:
            current = self._keys.by_id(principal.key)
            changed = current is None or (
                current.grant != principal.grant if principal.kind == "key" else not current.grant.control
            )
            if changed:
                return "access_revoked"
        return None

    # -- what the hub signs --------------------------------------------------------------------------------------------

    def sign_in(self, secret: str, environ: MutableMapping[str, Any]) -> tuple[Principal, str]:
        """The principal of a key, and the value of its sign-in cookie; raises `RequestError`."""
        principal = self._keys.find(secret)
        if principal is None or principal.key is None:
            raise self._count_failure(RequestError(_BAD, "this is not a key of this hub"), environ)
        expires = int(self._clock()) + COOKIE_SECONDS
        cookie = self._sign("cookie", principal, {"exp": expires})
        return Principal("key", principal.label, principal.grant, expires, principal.key, cookie=True), cookie

    def share(self, by: Principal, scope: Scope, seconds: float) -> tuple[str, float]:
        """A read-only token for `scope`, and when it expires. It ends with the key of the principal that made it."""
        if by.key is None:
            raise RequestError(
                "access_not_configured",
                "everyone can see everything on this hub; to share a part of it, set HUB_CONTROL_KEYS"
                if by is LOCAL
                else "only a key can share",
            )
        expires = int(self._clock() + seconds)
        payload = {"exp": expires, "rooms": scope.rooms, "globs": scope.globs, "session": scope.session}
        return self._sign("share", by, payload), float(expires)

    def _sign(self, kind: signed.Kind, by: Principal, payload: dict[str, Any]) -> str:
        key = self._keys.signing_key(by.key or "")
        if key is None:
            raise RequestError(_BAD, "the key has been removed")
        token = signed.sign(kind, {"key": by.key, **payload}, key)
        if len(token) > signed.LONGEST:
            raise RequestError("bad_field", "rooms: too many for one link", field="rooms")
        return token

    def agents_credential(self, agent_id: str) -> str | None:
        """What this agent publishes with until it ends; None on an open hub."""
        return signed.sign("agent", {"agent": agent_id}, self.hub_secret()) if self.required else None

    def hub_secret(self) -> bytes:
        """What this hub signs with. Kept in a private file, because links, sign-ins and agents outlive the process."""
        if self._secret is None:
            path = Path(self._settings.agent_state) / str(self._settings.port) / "credentials-secret"
            try:
                self._secret = path.read_bytes()
            except OSError:
                self._secret = b""
            if len(self._secret) < 32:
                self._secret = secrets.token_bytes(32)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    write_private(path, self._secret)
                except OSError as error:
                    logger.error(
                        "links, sign-ins and agents will lose access with this hub: %s cannot be written (%s)",
                        path,
                        error.strerror,
                    )
        return self._secret

    def use_secret(self, secret: bytes) -> None:
        """Sign with the secret of all hubs that share a history, so that each accepts what another has signed."""
        self._secret = secret
        self.cookie = cookie_name(hashlib.sha256(secret).hexdigest()[:8])
        if self.required:
            self._keys = self._key_ring(self._settings.keys())

    def _key_ring(self, entries: tuple[KeyEntry, ...]) -> KeyRing:
        return KeyRing(entries, self.hub_secret()) if entries else KeyRing()

    # -- keys ----------------------------------------------------------------------------------------------------------

    def reload(self) -> bool:
        """Read the keys again. Wrong ones change nothing and are logged. Returns whether they are in force."""
        if not self.required:
            return True
        try:
            entries = Settings.load().keys()
            self._keys = self._key_ring(entries)
        except (SettingsError, ValueError, OSError) as error:
            logger.error("the keys are not changed, because the settings are wrong:\n%s", error)
            return False
        self.hide(entry.secret for entry in entries)
        logger.warning("the keys were read again: %d in force", len(entries))
        return True


def _peer(environ: MutableMapping[str, Any]) -> str:
    """The address of the socket's peer, whatever the server was told to listen on, and whatever headers say."""
    return str(environ.get("REMOTE_ADDR", "unknown"))


def warnings(entries: tuple[KeyEntry, ...]) -> list[str]:
    """A sentence for each key that can be guessed."""
    return [
        f"the secret of the {entry.right} key {entry.label} has fewer than {SHORT} characters and can be guessed: "
        "`openssl rand -hex 16` makes a better one"
        for entry in entries
        if len(entry.secret) < SHORT
    ]
