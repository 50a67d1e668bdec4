"""Publish to a hub and subscribe to one, over HTTP."""
