"""Who may connect: the token, and the origins of web pages. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from .frames import FrameError
from .settings import GatewaySettings, is_loopback


class Access:
    """Checks requests against GATEWAY_TOKEN and GATEWAY_ORIGINS."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._token = settings.token.encode()
        self._origins = frozenset(settings.origins)

    def check(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Raise FrameError unless the request may use the gateway.

        Any web page can make a browser on this machine connect here, and can point its own host name at this machine, so
        without a token Origin and Host are checked. Programs send no Origin.
        """
        if self._token:
            if not self._has_token(headers, query):
                raise FrameError(
                    "unauthorized",
                    "This gateway needs a token: send Authorization: Bearer …, or add ?access_token=… to the address.",
                )
            return
        origin = headers.get("Origin")
        if origin is not None and not self.allows(origin):
            raise FrameError(
                "forbidden_origin",
                f"Pages of {origin[:100]} may not use this gateway: add the origin to GATEWAY_ORIGINS or set GATEWAY_TOKEN.",
            )
        host = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        if origin is not None and not is_loopback(host):
            raise FrameError(
                "forbidden_origin",
                f"The request's Host, {host[:100]}, is not this machine: open the page at localhost, or set GATEWAY_TOKEN.",
            )

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may connect without a token, and read responses.

        `null` is a page opened from a file. A page of any origin with the token may connect as well.
        """
        if origin == "null" or origin in self._origins or "*" in self._origins:
            return True
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            return False
        return host is not None and is_loopback(host)

    def _has_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else query.get("access_token", "")
        return hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), self._token)
