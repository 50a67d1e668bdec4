"""The whole gateway on port 8000, with its pages: text chat, LLM, recording, transcription, replies with speech.

    python main.py                  # then open http://localhost:8000

The same as `python -m agent.gateway --port 8000`; `python main.py --help` lists the options. It needs no key: set AGENT_STT,
AGENT_LLM and AGENT_TTS to use other providers than the local ones.
"""

import os

from agent.gateway.cli import main

if __name__ == "__main__":
    os.environ.setdefault("GATEWAY_PORT", "8000")
    main()
