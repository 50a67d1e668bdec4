"""The WSGI application: routes and error handlers around one hub."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from .access.access import Access
from .access.needs import authorise, need_of
from .access.origins import Origins
from .access.principal import principal_of
from .descriptors import descriptor_limit
from .errors import RequestError
from .history import HistoryError, open_history
from .http.hang_up import UNREAD, ThenClose
from .http.problems import check_encoding, refuse
from .http.routes import (
    alerts,
    audio,
    data,
    docs,
    events,
    insights,
    observability,
    operations,
    page,
    room_transcript,
    sessions,
    traces,
    webhook,
)
from .http.routes import stream as stream_route
from .http.routes.agent import AgentRoutes
from .http.routes.forget import ForgetRoute
from .http.routes.sign_in import SignInRoutes
from .http.routes.token import TokenRoute
from .http.security_headers import hardening
from .hub import EventHub
from .settings import Settings

logger = logging.getLogger(__name__)


class HubApp(Flask):
    """The Flask application of one hub.

    The first request opens the hub, its history and its loops; a server process calls `hub()` at its start instead.
    Importing the application opens no file and starts no thread.
    """

    def __init__(self, settings: Settings, static: Path) -> None:
        super().__init__("event_hub.server", static_folder=str(static), static_url_path="/static")
        self.settings = settings
        self.access = Access(settings)
        self.access.agent_is_live = self._is_live  # until the hub is open, which sets its own
        self._hub: EventHub | None = None
        self._opening = threading.Lock()

    def hub(self) -> EventHub:
        """The hub of this process; raises `HistoryError` if its history cannot be opened."""
        if self._hub is None:
            with self._opening:
                if self._hub is None:
                    settings = self.settings
                    history = open_history(settings.history, settings.effective_retention)
                    hub = EventHub(settings, history, access=self.access, descriptors=descriptor_limit())
                    operations.answer_peers(hub)
                    try:
                        hub.start()
                    except BaseException:
                        hub.close()
                        raise
                    self._hub = hub
        return self._hub

    def _is_live(self, agent_id: str) -> bool:
        """An agent of an earlier hub can be the first to ask. If the history is unavailable, the route says so."""
        try:
            return self.hub().agents.is_live(agent_id)
        except HistoryError:
            return True

    @property
    def opened(self) -> EventHub | None:
        """The hub of this process, if it has been opened."""
        return self._hub

    def count_refused(self, code: str) -> None:
        """Count a refused request, if the hub is open."""
        if self._hub is not None:
            self._hub.counters.refused[code] += 1

    def close(self) -> None:
        """Close the hub, if it was opened."""
        if self._hub is not None:
            self._hub.close()


_READS = ("/api/events", "/api/sessions", "/api/rooms")
"""A publisher that reads these finds its own events, at any hub that shares the history."""


class _Name(PathConverter):
    """A name in a path: any characters, including slashes and line breaks."""

    regex = r"[\s\S]+?"
    part_isolating = False


class _Front:
    """Handles every request first: resolves its principal, checks its encoding and its rate, and counts it while it is in
    progress.
    Serves POSTs of events and streams without Flask's dispatch, which would double their cost."""

    def __init__(self, app: HubApp, origins: Origins) -> None:
        self._app = app
        self._resolve = app.access.resolve
        self._admit = app.access.limits.admit if app.access.limits.any_rate else None
        self._origins = origins
        self._flask = app.wsgi_app
        self._data = data.DataRoute(app.hub, origins)
        self._stream = stream_route.StreamRoute(app.hub, origins)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        try:
            principal = self._resolve(environ)
            check_encoding(environ)
            if self._admit is not None:
                self._admit(environ, principal)
        except RequestError as error:
            self._app.count_refused(error.kind.code)
            return refuse(error, environ, start_response, self._origins)
        if path == data.PATH and environ["REQUEST_METHOD"] == "POST":
            return self._data(environ, start_response)
        if path == stream_route.PATH and environ["REQUEST_METHOD"] == "GET":
            return self._stream(environ, start_response)
        hub = self._app.opened
        if hub is None or not path.startswith("/api/"):
            return self._flask(environ, start_response)
        if environ["REQUEST_METHOD"] == "GET" and path.startswith(_READS) and principal.kind != "anonymous":
            try:
                hub.history.catch_up()
            except HistoryError:
                pass  # the route answers with what this hub has, or says that the history is away
        with ExitStack() as stack:
            stack.enter_context(hub.counters.requests)
            return _Counted(self._flask(environ, start_response), stack.pop_all())


class _Counted:
    """A response that counts as in progress until it is closed, so that a drain waits for it."""

    def __init__(self, answer: Iterable[bytes], stack: ExitStack) -> None:
        self._answer = answer
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        with self._stack:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()


def _authorise() -> None:
    """Check, before each of Flask's views, that the principal may use the route."""
    if request.url_rule is not None:
        authorise(principal_of(request.environ), need_of(request.method, request.url_rule.rule))


def create_app(settings: Settings | None = None, *, static: Path | None = None) -> HubApp:
    """The application. `settings`: None reads them from the environment; raises `SettingsError`."""
    settings = settings or Settings.load()
    app = HubApp(settings, static or Path(__file__).parents[2] / "static")
    app.url_map.merge_slashes = False  # a session's name can contain //
    app.url_map.converters["name"] = _Name
    origins = Origins(settings)
    origins.install(app)

    def route(path: str, view: Callable[[EventHub], Response], method: str = "GET") -> None:
        app.add_url_rule(path, path, lambda: view(app.hub()), methods=[method])

    # `_Front` serves GET.
    app.add_url_rule(stream_route.PATH, stream_route.PATH, stream_route.head, methods=["GET"])
    route("/api/events", events.events)
    route("/api/sessions", sessions.sessions)
    route("/api/rooms", sessions.rooms)
    route("/api/series", insights.series)
    route("/api/errors", insights.errors)
    app.add_url_rule(
        "/api/sessions/<name:id>", view_func=lambda id: sessions.session(app.hub(), id), endpoint="session"
    )
    app.add_url_rule(
        "/api/sessions/<name:id>/transcript.<form>",
        view_func=lambda id, form: sessions.transcript(app.hub(), id, form),
        endpoint="transcript",
    )
    app.add_url_rule(
        "/api/rooms/<name:room>/transcript.<form>",
        view_func=lambda room, form: room_transcript.transcript(app.hub(), room, form),
        endpoint="room_transcript",
    )
    for path, view in (
        ("trace", traces.trace),
        ("logs", traces.logs),
        ("audio", audio.audio),
        ("audio.wav", audio.wav),
        ("audio/peaks", audio.peaks),
        ("audio/marks", audio.marks),
    ):
        rule = f"/api/sessions/<name:id>/{path}"
        app.add_url_rule(rule, view_func=lambda id, view=view: view(app.hub(), id), endpoint=rule)
    uploads = observability.UploadRoutes(origins)
    for signal, paths in observability.PATHS.items():
        for path in paths:
            route(path, partial(uploads.otlp, signal=signal), "POST")
    route(observability.RECORDINGS, uploads.recording, "POST")
    route("/api/alerts", alerts.alerts)
    route("/api/health", operations.health)
    app.add_url_rule("/api/health/live", "live", operations.live, methods=["GET"])
    route("/api/subscribers", operations.subscribers)
    route("/api/config", operations.config)
    route("/metrics", operations.prometheus)
    agents = AgentRoutes(origins)
    route("/api/agent/start", agents.start, "POST")
    route("/api/agent/stop", agents.stop, "POST")
    route("/api/agent/status", agents.status)
    route("/api/agent/logs", agents.logs)
    route("/api/token", TokenRoute(origins), "POST")
    signing_in = SignInRoutes(app.access, origins)
    route("/api/sign-in", signing_in.sign_in, "POST")
    app.add_url_rule("/api/sign-out", "sign_out", signing_in.sign_out, methods=["POST"])
    route("/api/share", signing_in.share, "POST")
    route("/api/forget", ForgetRoute(origins), "POST")
    route(webhook.PATH, webhook.webhook, "POST")
    # `_Front` serves POST; Flask needs the rule to answer OPTIONS and wrong methods.
    app.add_url_rule(data.PATH, data.PATH, lambda: Response(status=405), methods=["POST"])
    docs.install(app)
    page.install(app)
    app.register_error_handler(RequestError, lambda error: _problem(app, error))
    app.register_error_handler(
        HistoryError, lambda error: _problem(app, RequestError("history_unavailable", str(error)))
    )
    app.register_error_handler(HTTPException, lambda error: _http_error(app, error))
    app.register_error_handler(Exception, lambda error: _problem(app, _failed(error)))
    app.before_request(_authorise)
    app.after_request(hardening(settings))
    app.wsgi_app = _Front(app, origins)  # type: ignore[method-assign]
    return app


def _problem(app: HubApp, error: RequestError) -> Response:
    code, answer = error.kind.code, error.body()
    app.count_refused(code)
    headers = [*error.headers(), ("Content-Length", str(len(answer)))]
    response = Response(ThenClose(answer, request.environ) if code in UNREAD else answer, error.status, headers)
    if error.status == 405:
        response.headers["Allow"] = error.more.get("allow", "")
    return response


def _http_error(app: HubApp, error: HTTPException) -> Any:
    """Flask's own errors as problem details; redirects are unchanged."""
    return error if error.code is None or error.code < 400 else _problem(app, _as_request_error(error))


def _as_request_error(error: HTTPException) -> RequestError:
    if error.code == 404:
        return RequestError("not_found", f"no such path: {request.path}")
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return RequestError("method_not_allowed", f"{request.path} allows {allowed}", allow=allowed)
    if error.code is not None and error.code >= 500:
        return _failed(error)
    return RequestError("bad_request", error.description or "the request is not valid HTTP")


def _failed(error: BaseException) -> RequestError:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return RequestError("internal", "the request failed inside the hub; see its log")
