"""The WSGI application: settings, routes, errors, and the hub behind them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from .access import Origins
from .errors import HubError
from .history import HistoryError, open_history
from .hub import Hub
from .limits import descriptor_limit
from .routes import data, docs, events, operations, page, sessions, webhook
from .routes import stream as stream_route
from .routes.agent import AgentRoutes
from .routes.token import TokenRoute
from .settings import Settings

logger = logging.getLogger(__name__)


class HubApp(Flask):
    """The Flask application of one hub.

    The hub itself (its history, its loops) is opened with the first request, or by `hub()` when the process that is to
    serve begins: importing the application opens no file and starts no thread.
    """

    def __init__(self, settings: Settings, static: Path) -> None:
        super().__init__("event_hub.server", static_folder=str(static), static_url_path="/static")
        self.settings = settings
        self._hub: Hub | None = None
        self._opening = threading.Lock()

    def hub(self) -> Hub:
        """The hub of this process; raises `HistoryError` where its history cannot be opened."""
        if self._hub is None:
            with self._opening:
                if self._hub is None:
                    settings = self.settings
                    history = open_history(settings.history, settings.kept)
                    hub = Hub(settings, history, descriptors=descriptor_limit())
                    hub.start()
                    self._hub = hub
        return self._hub

    def count_refused(self, code: str) -> None:
        """A request was refused; a hub that could not be opened counts nothing."""
        if self._hub is not None:
            self._hub.figures.refused[code] += 1

    def close(self) -> None:
        """Close the hub, if it was opened."""
        if self._hub is not None:
            self._hub.close()


class _Name(PathConverter):
    """A name of any characters in an address, slashes and ends of lines included."""

    regex = r"[\s\S]+?"
    part_isolating = False


class _Direct:
    """Serves one route without Flask's dispatch, everything else with it; counts what is under way."""

    def __init__(self, app: HubApp, route: data.DataRoute) -> None:
        self._app = app
        self._flask = app.wsgi_app
        self._route = route

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == data.PATH and environ["REQUEST_METHOD"] == "POST":
            return self._route(environ, start_response)
        hub = self._app._hub
        if hub is None or environ["PATH_INFO"] == stream_route.PATH or not environ["PATH_INFO"].startswith("/api/"):
            return self._flask(environ, start_response)
        hub.active += 1
        try:
            return _Counted(self._flask(environ, start_response), hub)
        except BaseException:
            hub.active -= 1
            raise


class _Counted:
    """An answer that is under way until it is closed: what is asked before the hub drains is answered."""

    def __init__(self, answer: Iterable[bytes], hub: Hub) -> None:
        self._answer = answer
        self._hub = hub

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        self._hub.active -= 1
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()


def create_app(settings: Settings | None = None, *, static: Path | None = None) -> HubApp:
    """The application. `settings`: None reads them from the environment; raises `SettingsError`."""
    settings = settings or Settings.load()
    app = HubApp(settings, static or Path(__file__).parents[2] / "static")
    app.url_map.merge_slashes = False  # a session's name may have two
    app.url_map.converters["name"] = _Name
    origins = Origins(settings)
    origins.install(app)

    def route(path: str, view: Callable[[Hub], Response], method: str = "GET") -> None:
        app.add_url_rule(path, path, lambda: view(app.hub()), methods=[method])

    route(stream_route.PATH, lambda hub: stream_route.stream(hub, origins.headers(request.headers.get("Origin"))))
    route("/api/events", events.events)
    route("/api/sessions", sessions.sessions)
    route("/api/rooms", sessions.rooms)
    app.add_url_rule(
        "/api/sessions/<name:id>", view_func=lambda id: sessions.session(app.hub(), id), endpoint="session"
    )
    app.add_url_rule(
        "/api/sessions/<name:id>/transcript.<form>",
        view_func=lambda id, form: sessions.transcript(app.hub(), id, form),
        endpoint="transcript",
    )
    route("/api/health", operations.health)
    route("/api/subscribers", operations.subscribers)
    route("/api/config", operations.config)
    route("/metrics", operations.prometheus)
    agents = AgentRoutes(origins)
    route("/api/agent/start", agents.start, "POST")
    route("/api/agent/stop", agents.stop, "POST")
    route("/api/agent/status", agents.status)
    route("/api/agent/logs", agents.logs)
    route("/api/token", TokenRoute(origins), "POST")
    route(webhook.PATH, webhook.webhook, "POST")
    # POST is served by `_Direct`; Flask knows the address for its answers to OPTIONS and to wrong methods.
    app.add_url_rule(data.PATH, data.PATH, lambda: Response(status=405), methods=["POST"])
    docs.install(app)
    page.install(app)
    app.register_error_handler(HubError, lambda error: _problem(app, error))
    app.register_error_handler(HistoryError, lambda error: _problem(app, HubError("history_unavailable", str(error))))
    app.register_error_handler(HTTPException, lambda error: _http_error(app, error))
    app.register_error_handler(Exception, lambda error: _problem(app, _failed(error)))
    app.wsgi_app = _Direct(app, data.DataRoute(app.hub, origins))  # type: ignore[method-assign]
    return app


def _problem(app: HubApp, error: HubError) -> Response:
    code, answer = error.kind.code, error.body()
    app.count_refused(code)
    headers = [*error.headers(), ("Content-Length", str(len(answer)))]
    response = Response(
        data.ThenClose(answer, request.environ) if code in data.UNREAD else answer, error.status, headers
    )
    if error.status == 405:
        response.headers["Allow"] = error.more.get("allow", "")
    return response


def _http_error(app: HubApp, error: HTTPException) -> Any:
    """An error of Flask's own in our form; a redirect stays what it is."""
    return error if error.code is None or error.code < 400 else _problem(app, _of(error))


def _of(error: HTTPException) -> HubError:
    if error.code == 404:
        return HubError("not_found", f"there is nothing at {request.path}")
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return HubError("method_not_allowed", f"{request.path} takes {allowed}", allow=allowed)
    if error.code is not None and error.code >= 500:
        return _failed(error)
    return HubError("bad_request", error.description or "the request is not understood")


def _failed(error: BaseException) -> HubError:
    logger.error("%s %s has failed", request.method, request.path, exc_info=error)
    return HubError("internal", "the hub has failed; its log says why")
