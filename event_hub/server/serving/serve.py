"""Running the hub in production form: gunicorn with gevent, or gevent's own server where gunicorn does not run."""

from __future__ import annotations

import os
import sys
import time

import click

from ... import __version__
from ..descriptors import raise_descriptor_limit
from ..settings import Settings
from . import patching, preflight

APP = "event_hub.server.serving.wsgi:app"


def _table(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print `--help` with the settings."""
    if not value or ctx.resilient_parsing:
        return
    formatter = ctx.make_formatter()
    ctx.command.format_help(ctx, formatter)
    with formatter.section("Settings, from the environment or .env"):
        formatter.write_dl([(f"{name}  [{default}]", about) for name, default, about in Settings.table()], col_max=44)
    click.echo(formatter.getvalue().rstrip())
    ctx.exit()


def _override_port(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    """`--port`: settings come from the environment, also in gunicorn's processes."""
    if value is not None:
        os.environ["PORT"] = str(value)


@click.command(context_settings={"help_option_names": [], "max_content_width": 120})
@click.option(
    "--server", type=click.Choice(["gunicorn", "gevent"]), help="The server to use; gunicorn by default, where it runs."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    expose_value=False,
    callback=_override_port,
    help="The port to listen on; overrides the setting PORT.",
)
@click.option("--check", is_flag=True, help="Check the settings, the port and the history without starting.")
@click.option(
    "--help", "-h", is_flag=True, is_eager=True, expose_value=False, callback=_table, help="Show this and exit."
)
@click.version_option(__version__)
def main(server: str | None, check: bool) -> None:
    """Start LiveKit Event Hub, which broadcasts every event of your running voice agents."""
    raise_descriptor_limit()
    try:
        settings = preflight.settings()
        if check:
            preflight.check(settings)
            click.echo("The settings, the port and the history are fine.")
        elif (server or ("gevent" if sys.platform == "win32" else "gunicorn")) == "gunicorn":
            _gunicorn()
        else:
            valkey = preflight.start_own_valkey(settings)
            try:
                preflight.check(settings)
                _pywsgi(settings)
            finally:
                if valkey is not None:
                    valkey.stop()
    except preflight.StartRefused as refused:
        click.echo(str(refused), err=True)
        sys.exit(refused.code)


def _gunicorn() -> None:
    from gunicorn.app.wsgiapp import WSGIApplication

    sys.argv = ["gunicorn", "-c", "python:event_hub.server.serving.gunicorn_config", APP]
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").run()


def _pywsgi(settings: Settings) -> None:
    """gevent's own server: streams go through WSGI, with the same bytes and guarantees, at a fraction of the speed."""
    import signal

    import gevent
    from gevent.pool import Pool
    from gevent.pywsgi import WSGIServer

    from .dead_peers import detect_dead_peers
    from .pywsgi_handler import HubHandler
    from .wsgi import app

    hub = app.hub()
    pool = Pool(hub.streams.max_subscribers + hub.max_connections)
    servers = [
        WSGIServer((address, settings.port), app, spawn=pool, log=None, handler_class=HubHandler)
        for address in preflight.addresses(settings)
    ]
    for server in servers:
        server.init_socket()
        detect_dead_peers(server.socket, settings.stall)
        server.start()
    preflight.say(preflight.banner(settings))
    patching.serving()
    stop = gevent.event.Event()
    for name in ("SIGTERM", "SIGINT"):
        gevent.signal_handler(getattr(signal, name), stop.set)
    if hasattr(signal, "SIGHUP"):
        gevent.signal_handler(signal.SIGHUP, hub.access.reload)
        gevent.signal_handler(signal.SIGHUP, hub.insight.reload)
    while not stop.wait(1):  # on Windows signals are handled only between two waits
        pass
    until = time.monotonic() + settings.drain
    hub.end_agents()
    for server in servers:
        server.close()
    hub.drain(until - time.monotonic())
