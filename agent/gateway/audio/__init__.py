"""Audio over WebSockets: recording to files (`/ws/audio-stream`) and transcription (`/ws/transcribe-stream`).

Importing this loads no LiveKit; the first transcription does.
"""

from .download import download
from .recording import record
from .transcription import transcribe
from .uploads import prepare

__all__ = ["download", "prepare", "record", "transcribe"]
