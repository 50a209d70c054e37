"""A receiver in another language, with the official Standard Webhooks library of PyPI.

Registers itself at the sandbox gateway, verifies what arrives, and ends with 0 after so many verified deliveries, each
with an id of its own. Anything that does not verify ends it with 1.
"""

import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook

API = "http://127.0.0.1:8080/v1"
KEY = "sandbox-key-for-local-use-only"
WANTED = 5
PATIENCE_SECONDS = 120

verified = {}
failure = []


def call(method, path, body=None):
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(API + path, data, headers, method=method)) as answer:
        return json.load(answer)


class Receiver(BaseHTTPRequestHandler):
    webhook = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = self.webhook.verify(body.decode(), dict(self.headers.items()))
            if event["id"] != self.headers["webhook-id"]:
                raise ValueError("the body has another id than the headers")
            verified[event["id"]] = event["type"]
        except Exception as error:  # whatever it is, it must not pass
            failure.append(error)
        self.send_response(400 if failure else 204)
        self.end_headers()
        if failure or len(verified) >= WANTED:
            threading.Thread(target=self.server.shutdown).start()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
endpoint = call("POST", "/endpoints", {"url": f"http://127.0.0.1:{server.server_port}/"})
Receiver.webhook = Webhook(endpoint["secret"])
patience = threading.Timer(PATIENCE_SECONDS, server.shutdown)
patience.start()
server.serve_forever()
patience.cancel()
call("DELETE", f"/endpoints/{endpoint['id']}")
print(f"verified: {sorted(verified.values())}", file=sys.stderr)
if failure or len(verified) < WANTED:
    sys.exit(f"failed: {failure or 'too few deliveries'}")
