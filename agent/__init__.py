"""The voice agent that `/api/agent/start` launches: `python -m agent`. Start reading at `assistant.py`."""
