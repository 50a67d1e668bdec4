"""The HTTP API: bodies, queries, routes and their description."""
