"""Erasing events: on request, and when the retention of their room is over."""
