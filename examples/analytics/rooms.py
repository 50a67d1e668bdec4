"""How long callers waited for answers in each room, over the last 24 hours: python rooms.py [http://localhost:5000]"""

import os
import sys

import requests

hub = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:5000"
headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("HUB_KEY")) else {}
for room in requests.get(f"{hub}/api/rooms", params={"since": "24h"}, headers=headers, timeout=60).json()["rooms"]:
    latency = room["latency"].get("e2e_latency") or room["latency"].get("response_time")
    figures = f"{latency['median']:.2f} s, p95 {latency['p95']:.2f} s" if latency else "not measured"
    counts = f"{room['sessions']} sessions, {room['counts']['turns']} turns, {room['duration'] / 60:.0f} min"
    print(f"{room['room']}: {counts}; {figures}")
