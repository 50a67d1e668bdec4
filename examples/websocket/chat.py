"""Chats with the gateway: python chat.py "What is the weather in San Francisco?" [ws://localhost:8765/chat]

Needs the package websockets: pip install websockets
"""

import json
import sys

from websockets.sync.client import connect

question = sys.argv[1] if len(sys.argv) > 1 else "What is the weather in San Francisco?"
address = sys.argv[2] if len(sys.argv) > 2 else "ws://localhost:8765/chat"

with connect(address) as socket:
    socket.send(json.dumps({"message": question}))
    for text in socket:
        frame = json.loads(text)
        if frame["type"] == "delta":
            print(frame["delta"], end="", flush=True)
        elif frame["type"] == "error":
            sys.exit(frame["message"])
        elif frame["type"] == "result":  # the turn is over, tool calls included
            print()
            break
