"""Hostile HTTP requests as bytes, for the fuzzer of `test_access_fuzz`. Pure: the same generator state makes the same bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from random import Random
from urllib.parse import quote

from event_hub.server.access.needs import ROUTES

ROOMS = (
    "demo",
    "support-1",
    "secret-room",
    "*",
    "secret*",
    "s?cret-room",
    "..",
    "a%2fb",
    "",
    "%00",
    "x" * 300,
    "SECRET-ROOM",
)
PATHS = (
    *(rule for (method, rule) in ROUTES if method == "GET"), "/api/stream", "/api/stream?since=all", "/api/events", "/api/events?limit=1000", "/api/sessions", "/api/rooms",
    "/api/sessions/said", "/api/sessions/said/transcript.txt", "/api/sessions/said/transcript.json",
    "/api/rooms/secret-room/transcript.txt", "/api/rooms/secret-room/transcript.json", "/api/rooms/demo/transcript.vtt",
    "/api/agent/status", "/api/agent/logs", "/api/subscribers", "/metrics", "/api/config", "/api/health", "/", "/docs/",
    "/docs/errors", "/docs/guide/", "/openapi.json", "/static/page.css", "/favicon.ico", "/stream-test.html", "/nowhere",
)  # fmt: skip
BODIES = (
    b"", b"{}", b"[]", b"null", b"{", b'{"type":"n"}', b'{"type":"n","room":"demo"}', b'[{"type":"n","room":"demo"},{}]',
    b'{"type":"n","room":["secret-room"]}', b'{"key":"x"}', b'{"rooms":["secret-room"]}', b'{"session":"said"}',
    b'{"mode":"scripted"}', b'{"room":"secret-room","dry_run":true}', b"\xff\xfe", b"[" * 2000, b"\xef\xbb\xbf{}",
)  # fmt: skip
PARAMETERS = (
    "room",
    "room",
    "session",
    "type",
    "since",
    "after",
    "before",
    "limit",
    "replay",
    "past",
    "last_event_id",
    "n",
)
VALUES = (
    *ROOMS,
    "0",
    "-1",
    "all",
    "5m",
    "1e999",
    "9" * 40,
    "%E2%80%AE",
    "null",
    "[]",
    "said",
    "probe",
    "json",
    "md",
    "srt",
)
POSTS = (
    ("/api/agent/data", b'{"type":"fuzzed","room":"demo"}'), ("/api/agent/data", b'[{"type":"fuzzed"},{"type":"fuzzed"}]'),
    ("/api/agent/data", b'{"type":"transcript","role":"user","text":"fuzzed","session":"f","room":"secret-room"}'),
    ("/api/agent/start", b'{"mode":"no-such-mode"}'), ("/api/agent/stop", b'{"agent_id":"none"}'),
    ("/api/token", b'{"room":"secret-room"}'), ("/api/share", b'{"rooms":["secret-room"]}'),
    ("/api/sign-in", b'{"key":"wrong-key-0000000"}'), ("/api/sign-out", b""), ("/api/livekit/webhook", b'{"event":"x"}'),
)  # fmt: skip
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "get",
    "G\0T",
    "PRI",
    "",
    "A" * 99,
)
VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.10",
    "http/1.1",
    "HTTP/9.9",
    "HTTP/",
    "",
    "HTTP/1.1 x",
)
NOISE = (
    b"Accept: application/x-ndjson", b"Accept: text/event-stream", b"Accept: */*;q=x", b"Last-Event-ID: 0-0",
    b"Last-Event-ID: \xff\xfe", b"Last-Event-ID: " + b"9" * 400, b"Range: bytes=0-", b"Range: bytes=9-1,-",
    b"If-None-Match: *", b"If-Modified-Since: yesterday", b"Accept-Encoding: gzip;q=0, *", b"Accept-Language: \xe9",
    b"Origin: null", b"Origin: https://evil.example", b"Origin: http://[", b"Referer: \xff", b"Expect: 100-continue",
    b"Expect: the-impossible", b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c\r\nHTTP2-Settings: x",
    b"Connection: close", b"Connection: keep-alive, Authorization", b"Keep-Alive: -1", b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-For: [::1%25, ,\xff", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: localhost", b"Forwarded: for=_x",
    b"X-Original-URL: /metrics", b"X-Rewrite-URL: /metrics", b"X-HTTP-Method-Override: DELETE", b"Script_Name: /api",
    b"Script-Name: /api", b"Remote-User: boss", b"Host: localhost", b"Host: evil.example", b"Host: a b", b"Host: [::1",
    b"Host: \xff", b"Host:", b"Content-Encoding: gzip", b"Content-Type: ;;;", b"Content-Type: application/json; charset=x",
    b" folded: yes", b"No colon", b"Space : x", b": no name", b"N\xffme: x", b"Nul: a\0b", b"Bare: a\rb", b"X: " + b"y" * 9000,
    b"Date: x\n\nGET /metrics HTTP/1.1", b"Cookie: " + b"a=b;" * 1500, b"Cookie: \xe9=\xe9", b"Cookie: $Version=1; hub",
)  # fmt: skip
CODINGS = (
    b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\tchunked", b"transfer-encoding: CHUNKED",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer_Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked, chunked",
)  # fmt: skip
LENGTHS = (
    b"-1",
    b"+5",
    b"0x5",
    b"5, 5",
    b"5, 6",
    b"",
    b" ",
    b"1e3",
    b"5_0",
    b"\xb2",
    b"9" * 30,
    b"5\r\nContent-Length: 6",
)
SIZES = (
    b"zz",
    b"-1",
    b"+1",
    b"0x2",
    b"f" * 20,
    b"",
    b" 2",
    b"2 ",
    b"2;a=b",
    b'2;a="\r\n"',
    b"2\n",
    b"1_0",
    b"2;" + b"a" * 5000,
)
TRAILERS = (
    b"",
    b"Authorization: Bearer x\r\n",
    b"Content-Length: 0\r\n",
    b"bad trailer\r\n",
    b"X: " + b"y" * 9000 + b"\r\n",
)


def _percent(text: str, random: Random) -> str:
    """`text` with some of its characters percent-encoded."""
    return "".join(f"%{ord(c):02x}" if random.random() < 0.3 and ord(c) < 128 else c for c in text)


def in_header(secret: str, random: Random) -> bytes:
    """An Authorization header, or something like it."""
    basic = base64.b64encode(f"x:{secret}".encode()).decode()
    text = random.choice(
        (
            f"Authorization: Bearer {secret}", f"authorization:bearer {secret}", f"AUTHORIZATION: BEARER  {secret}  ",
            f"Authorization: Bearer\t{secret}", f"Authorization: Bearer {secret}, Bearer {secret}",
            f"Authorization: Bearer {secret}\r\nAuthorization: Bearer x", f"Authorization: Basic {basic}",
            f"Authorization: Bearer x\r\nAuthorization: Bearer {secret}", f"Authorization: {secret}",
            f"Authorization: Bearer\r\n {secret}", f'Authorization: Bearer "{secret}"', f"Http_Authorization: Bearer {secret}",
            f"Authorization_: Bearer {secret}", f"Proxy-Authorization: Bearer {secret}", f"Authorization : Bearer {secret}",
            f"Authorization: Bearer {secret}\0", f"Authorization: Bearer \xff{secret}", "Authorization: Bearer", "Authorization:",
            f"Authorization: Bearer {secret}{'.' * 5000}", f"Authorization: Bearer {secret[:-1]}",
            f"X-Access-Token: {secret}", f"Access_Token: {secret}", f"Authorization: Token {secret}",
        )
    )  # fmt: skip
    return text.encode("latin-1")


def in_query(secret: str, random: Random) -> str:
    """`access_token=`, or something like it."""
    return random.choice(
        (
            f"access_token={secret}", f"access_token={_percent(secret, random)}", f"{_percent('access_token', random)}={secret}",
            f"access_token={secret}&access_token={secret}", f"access_token={secret}&access_token=x", f"ACCESS_TOKEN={secret}",
            f"access_token[]={secret}", f"x=1;access_token={secret}", f"access_token={secret}%00", f"access_token=%ff{secret}",
            f"access_token={quote(quote(secret + '%'))}", f"access%5Ftoken={secret}", f"access+token={secret}", "access_token=",
            "access_token", f"&&&=&access_token={secret}", f"access_token=%c0%ae{secret}", f"access_token={secret}#x",
            f"access_token=+{secret}+", f"access_token={secret}?access_token={secret}",
        )
    )  # fmt: skip


def in_cookie(secret: str, name: str, random: Random) -> bytes:
    """A cookie with the sign-in cookie's name."""
    text = random.choice(
        (
            f"{name}={secret}", f'{name}="{secret}"', f"{name}=x; {name}={secret}", f"{name}={secret}; {name}=x",
            f"a=b;{name}={secret}", f"{name}\t=\t{secret}", f'{name}="\\163{secret}', f"$Version=1; {name}={secret}; $Path=/",
            f"{name.upper()}={secret}", f"{name}={secret}, {name}={secret}", f"{name}=\xe9{secret}", f"{name}", f"={name}={secret}",
        )
    )  # fmt: skip
    return b"Cookie: " + text.encode("latin-1")


def target(path: str, random: Random) -> str:
    """Another way to write `path`, which may mean the same."""
    base, mark, query = path.partition("?")
    last = base.rsplit("/", 1)
    odd = (
        base, base, base, base, f"/{base}", base + "/", _percent(base, random), f"/x/..{base}", f"/static/..{base}", "/%2e%2e" + base,
        "%2f".join(last), "\\".join(last), f"http://127.0.0.1{base}", f"http://evil.example{base}", f"//evil.example{base}",
        base + "%00", base + "%0d%0aX:%20y", base + "#x", base.upper(), base + ";x=y", f"{base}\t", base[1:], "*", "127.0.0.1:80",
        f"/./{base}", base + "%ff", base + "\xff", base + ".json", f"{base}%20", "http://[", base + "x" * 9000, "",
    )  # fmt: skip
    return random.choice(odd) + mark + query


def body(payload: bytes, random: Random) -> tuple[list[bytes], bytes]:
    """The headers and bytes of a body that carries `payload`, well or badly framed."""
    way = random.randrange(6)
    if way < 2:
        return [b"Content-Length: %d" % len(payload)], payload
    if way == 2:
        return [b"Content-Length: " + random.choice(LENGTHS)], payload
    cut = random.randrange(len(payload) + 1)
    chunks = [piece for piece in (payload[:cut], payload[cut:]) if piece]
    sizes = [b"%x" % len(piece) if random.random() < 0.8 else random.choice(SIZES) for piece in chunks]
    end = random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"", b"XX"))
    framed = b"".join(size + b"\r\n" + piece + end for size, piece in zip(sizes, chunks, strict=True))
    framed += random.choice((b"0\r\n", b"0\r\n", b"00;x\r\n", b"", b"-0\r\n")) + random.choice(TRAILERS) + b"\r\n"
    headers = [CODINGS[0] if random.random() < 0.6 else random.choice(CODINGS)]
    if way == 5:
        headers.insert(random.randrange(2), b"Content-Length: %d" % random.choice((len(payload), len(framed), 0, 3)))
    return headers, framed


def _flip(data: bytes, random: Random) -> bytes:
    spot = random.randrange(len(data))
    return data[:spot] + bytes([random.randrange(256)]) + data[spot + 1 :]


def _cut_out(data: bytes, random: Random) -> bytes:
    spot = random.randrange(len(data))
    return data[:spot] + data[spot + random.randrange(1, 20) :]


def _repeat(data: bytes, random: Random) -> bytes:
    spot = random.randrange(len(data))
    return data[: spot + random.randrange(1, 40)] + data[spot:]


def _end_early(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(1, len(data))]


def _bare_line_feeds(data: bytes, random: Random) -> bytes:
    return data.replace(b"\r\n", b"\n", random.randrange(1, 5))


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (_flip, _cut_out, _repeat, _end_early, _bare_line_feeds)


def request(secret: str | None, cookie: str, random: Random, *, signed_in: bool = False) -> bytes:
    """One request, which carries `secret` where credentials belong or may be mistaken for one. `cookie`: the name of the
    sign-in cookie, which is the only place for it if `signed_in`."""
    post = random.random() < 0.3
    path, payload = random.choice(POSTS) if post else (random.choice(PATHS), b"")
    if random.random() < 0.3:
        payload = random.choice(BODIES) if post else payload
    path = re.sub("<[^>]*>", lambda _: quote(random.choice(VALUES), safe="%"), path)
    while random.random() < (0.1 if post else 0.5):
        path += f"{'&' if '?' in path else '?'}{random.choice(PARAMETERS)}={random.choice(VALUES)}"
    version = "HTTP/1.1" if random.random() < 0.85 else random.choice(VERSIONS)
    method = ("POST" if post else "GET") if random.random() < 0.85 else random.choice(METHODS)
    headers = [b"Host: 127.0.0.1"] if random.random() < 0.95 else []
    if secret is not None:
        place = random.randrange(8) if not signed_in else 5
        if place < 3:
            headers.append(b"Authorization: Bearer " + secret.encode())
        elif place < 5:
            headers.append(in_header(secret, random))
        elif place == 5:
            plain = f"Cookie: {cookie}={secret}".encode()
            headers.append(plain if random.random() < 0.5 else in_cookie(secret, cookie, random))
        if place in (3, 6, 7):
            path += f"{'&' if '?' in path else '?'}{in_query(secret, random)}"
    if random.random() < 0.4:
        path = target(path, random)
    data = b""
    if post or random.random() < 0.05:
        headers.append(b"Content-Type: application/json")
        framing, data = body(payload, random)
        headers += framing
    for _ in range(random.choice((0, 0, 1, 2))):
        headers.insert(random.randrange(len(headers) + 1), random.choice(NOISE))
    head = f"{method} {path} {version}".encode("latin-1")
    raw = b"\r\n".join([head, *headers, b"", b""]) + data
    while len(raw) > 1 and random.random() < 0.25:
        raw = random.choice(_MUTATIONS)(raw, random)
    return raw + (request(secret, cookie, random, signed_in=signed_in) if random.random() < 0.05 else b"")
