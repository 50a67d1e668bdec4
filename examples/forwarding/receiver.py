"""Takes what a hub forwards, checks that it is the hub's, and prints who said what: HUB_FORWARD=http://localhost:8080/

HUB_FORWARD_SECRET=whsec_… python receiver.py [port]     # the secret that the hub has
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEYS = [base64.b64decode(one.removeprefix("whsec_")) for one in os.environ["HUB_FORWARD_SECRET"].split()]
seen = set()  # a batch whose answer was lost comes again: in a real receiver, a table with a unique id


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds without a word, and the next one has its turn

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(max(0, min(length, 1_000_000)))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        mine = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in KEYS]
        given = self.headers.get("webhook-signature", "").encode().split()
        if not any(hmac.compare_digest(one, other) for one in mine for other in given):
            return self.answer(401)
        if abs(time.time() - int(self.headers["webhook-timestamp"])) > 300:
            return self.answer(400)  # an old request that somebody has recorded
        for one in json.loads(body)["data"]["events"]:
            event = one["event"]
            if one["id"] not in seen and event["type"] == "transcript":
                print(one["id"], event.get("role"), event["text"], flush=True)
            seen.add(one["id"])
        return self.answer(204)  # only now: what was answered with 2xx never comes again

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


HTTPServer(("localhost", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Receiver).serve_forever()
