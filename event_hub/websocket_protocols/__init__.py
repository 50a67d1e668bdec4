"""The wire formats of the gateway's WebSocket endpoints: one model for each frame. Pure.

A module per protocol: `chat` (text chat), `llm` (an LLM behind a WebSocket), `audio` (recording, transcription),
`replies` (streamed replies with speech). docs/gateway-protocols.md is generated from the models.
"""
