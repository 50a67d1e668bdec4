"""The gateway: text chat, a remote LLM, recording, transcription and streamed replies over WebSockets, without a room.

`python -m agent.gateway` serves it on port 8765; docs/gateway.md describes it.
"""
