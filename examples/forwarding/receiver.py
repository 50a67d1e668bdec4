"""Receive the events that a hub forwards, verify their signature, and print the transcripts.

Start the hub with HUB_FORWARD=http://localhost:8080/ and this program with the hub's secret:
HUB_FORWARD_SECRET=whsec_… python receiver.py [port]
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEYS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in os.environ["HUB_FORWARD_SECRET"].split()]
seen = set()  # the hub repeats a batch if the answer is lost; in production, use a table with a unique id


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds without data before the connection is closed

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(max(0, min(length, 1_000_000)))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        expected = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in KEYS]
        given = self.headers.get("webhook-signature", "").encode().split()
        if not any(hmac.compare_digest(own, other) for own in expected for other in given):
            return self.answer(401)
        if abs(time.time() - int(self.headers["webhook-timestamp"])) > 300:
            return self.answer(400)  # a replay of an old request
        for item in json.loads(body)["data"]["events"]:
            event = item["event"]
            if item["id"] not in seen and event["type"] == "transcript":
                print(item["id"], event.get("role"), event["text"], flush=True)
            seen.add(item["id"])
        return self.answer(204)  # last, because the hub never repeats a batch that was answered with 2xx

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


HTTPServer(("localhost", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Receiver).serve_forever()
