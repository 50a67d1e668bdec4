"""Print every event of a hub, in order and exactly once, until stopped.

python watch.py [http://localhost:5000] [room=demo] [type=transcript] [since=5m]
"""

import json
import os
import random
import sys
import time

import requests

HUB_ONLY = ("stream_opened", "heartbeat", "stream_closing")


def watch(hub, **query):
    """Yield (id, event), including `stream_gap`: events are missing between the one before it and the one after it."""
    last = ""
    while True:
        try:
            for id, event in stream(hub, query, last):
                if event["type"] == "stream_gap" and event["reason"] == "too_slow":
                    last = event["from"]  # reconnect with the id before the gap: the hub replays the missed events
                    break
                last = id
                if event["type"] not in HUB_ONLY:
                    yield id, event
        except requests.RequestException as error:  # the hub is restarting, or the network is down
            if isinstance(error, ValueError):
                raise  # `hub` is not a URL
            print(f"{error}: reconnecting", file=sys.stderr)
        time.sleep(1 + random.random())


def stream(hub, query, last):
    """Yield (id, event) for each frame of one connection, until it ends or fails."""
    headers = {"Last-Event-ID": last} if last else {}
    if key := os.environ.get("HUB_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    # Without data for 45 s, which is three heartbeats, the connection is dead.
    with requests.get(f"{hub}/api/stream", params=query, headers=headers, stream=True, timeout=(5, 45)) as response:
        if response.status_code in (400, 401, 403, 404):
            raise ValueError(f"{response.status_code} {response.text}")  # retrying would not help
        response.raise_for_status()
        id = data = b""
        for line in response.iter_lines():
            if line.startswith(b"id: "):
                id = line[4:]
            elif line.startswith(b"data: "):
                data = line[6:]
            elif not line and data:  # an empty line ends a frame
                yield id.decode(), json.loads(data)
                data = b""


if __name__ == "__main__":
    arguments = sys.argv[1:]
    hub = arguments.pop(0) if arguments and "=" not in arguments[0] else "http://localhost:5000"
    query = {}
    for name, _, value in (argument.partition("=") for argument in arguments):
        query.setdefault(name, []).append(value)
    for id, event in watch(hub, **query):
        print(id, json.dumps(event, ensure_ascii=False), flush=True)
