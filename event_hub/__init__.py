"""LiveKit Event Hub broadcasts every event of your voice agents, live."""

__version__ = "0.1.0"
