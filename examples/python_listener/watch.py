"""Print every event of a hub, in order, each once; for ever.

python watch.py [http://localhost:5000] [room=demo] [type=transcript] [since=5m]
"""

import json
import random
import sys
import time

import requests

OF_THE_HUB = ("stream_opened", "heartbeat", "stream_closing")


def watch(hub, **query):
    """Yield (id, event). A `stream_gap` is yielded like an event: what follows it does not continue what was seen."""
    last = ""
    while True:
        try:
            for id, event in stream(hub, query, last):
                if event["type"] == "stream_gap" and event["reason"] == "too_slow":
                    last = event["from"]  # who comes back with the id before the gap gets it from the history
                    break
                last = id
                if event["type"] not in OF_THE_HUB:
                    yield id, event
        except requests.RequestException as error:  # the hub restarts, or the network is away
            if isinstance(error, ValueError):
                raise  # what was given as the hub is no URL
            print(f"{error}: trying again", file=sys.stderr)
        time.sleep(1 + random.random())


def stream(hub, query, last):
    """Yield (id, event) for each frame of one connection, until it ends or breaks."""
    headers = {"Last-Event-ID": last} if last else {}
    # 45 s are three heartbeats: after so long without a byte the connection is dead.
    with requests.get(f"{hub}/api/stream", params=query, headers=headers, stream=True, timeout=(5, 45)) as response:
        if response.status_code in (400, 401, 403, 404):
            raise ValueError(f"{response.status_code} {response.text}")  # asking again will not help
        response.raise_for_status()
        id = data = b""
        for line in response.iter_lines():
            if line.startswith(b"id: "):
                id = line[4:]
            elif line.startswith(b"data: "):
                data = line[6:]
            elif not line and data:  # the empty line ends a frame
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
