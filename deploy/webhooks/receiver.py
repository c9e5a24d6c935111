"""Takes mail from mailferry (format = "json" or "raw") and prints a line for each.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python3 receiver.py
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
seen = set()  # Where mail matters, a table with a unique key: it has to outlive this program.


def take(id, content_type, body):
    if content_type == "application/json":
        mail = json.loads(body)["data"]
        names = [attachment["name"] for attachment in mail["attachments"]]
        print(json.dumps({"id": id, "subject": mail["subject"], "text": mail["text"], "attachments": names}), flush=True)
    else:  # message/rfc822: the message itself, for email.message_from_bytes
        print(json.dumps({"id": id, "octets": len(body)}), flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.answer(body))
        self.end_headers()

    def answer(self, body):
        try:
            webhook.verify(body, dict(self.headers), json_parse=False)
        except WebhookVerificationError:
            return 401
        except UnicodeDecodeError:
            return 400  # A raw message need not be UTF-8, and the library verifies nothing else. JSON always is.
        id = self.headers["webhook-id"]
        if id not in seen:  # The same message comes again when an answer was lost.
            take(id, self.headers["Content-Type"], body)
            seen.add(id)  # After the work: what fails above comes again.
        return 204


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
