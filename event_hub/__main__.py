"""`python -m event_hub` is `event-hub`."""

from .cli import main

main()
