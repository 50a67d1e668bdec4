"""LiveKit Event Hub: every event of every voice agent, live, to everybody who watches."""

__version__ = "0.1.0"
