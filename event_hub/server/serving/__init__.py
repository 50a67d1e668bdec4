"""How the hub is served: the WSGI application, gunicorn's worker and the checks before start."""
