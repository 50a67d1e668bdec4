"""The WSGI application, made when this is imported. `flask_server:app` is the same under the name that deployments use."""

from __future__ import annotations

import sys
from pathlib import Path

from ..app import HubApp, create_app
from . import preflight

_PACKAGE = Path(__file__).parents[2]


def _static() -> Path:
    """Where the page is: inside an installed package, beside the package in a checkout."""
    installed = _PACKAGE / "static"
    return installed if installed.is_dir() else _PACKAGE.parent / "static"


def _application() -> HubApp:
    try:
        return create_app(preflight.settings(), static=_static())
    except preflight.StartRefused as refused:
        sys.stderr.write(f"{refused}\n")
        sys.exit(refused.code)


app = _application()
