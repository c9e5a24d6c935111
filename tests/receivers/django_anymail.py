"""django-anymail behind Django, as its documentation has it installed. Prints what Anymail made of each message."""

import hashlib
import json
import os
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of no use here",
    INSTALLED_APPS=["anymail"],
    ROOT_URLCONF=__name__,
    ANYMAIL={
        "WEBHOOK_SECRET": os.environ.get("BASIC"),
        "MAILGUN_WEBHOOK_SIGNING_KEY": os.environ.get("SIGNING_KEY"),
    },
    # Shows why an answer is 500.
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False}},
    },
    # 2.5 MB else: Django's answer to a larger message is 400.
    DATA_UPLOAD_MAX_MEMORY_SIZE=int(os.environ.get("LARGEST", 64 << 20)),
)
urlpatterns = [path("anymail/", include("anymail.urls"))]
django.setup()

from anymail.exceptions import AnymailError  # noqa: E402 (needs the settings)
from anymail.signals import inbound  # noqa: E402


def attachment(part):
    # A part that holds others has no bytes of its own, which Anymail says with an exception.
    content = b"" if part.is_multipart() else part.get_content_bytes()
    return {"name": part.get_filename(), "sha256": hashlib.sha256(content).hexdigest()}


def tried(read):
    # Anymail raises where an address is none (`From: <>`), gives a list where there are several, and text in a charset that is
    # none makes Python raise. An application that does not catch that answers 500.
    try:
        return read()
    except (AnymailError, AttributeError, LookupError) as fault:
        return {"fault": "unknown charset" if "unknown encoding" in str(fault) else type(fault).__name__}


def received(sender, event, esp_name, **kwargs):
    message = event.message
    printed = {
        "esp": esp_name,
        "event": event.event_id,
        "sender": message.envelope_sender,
        "recipient": message.envelope_recipient,
        "from": tried(lambda: message.from_email.addr_spec),
        "subject": message.subject,
        "text": tried(lambda: message.text),
        "html": tried(lambda: message.html),
        "attachments": [attachment(part) for part in message.attachments],
        "inlines": [attachment(part) for part in message.inlines],
    }
    print(json.dumps(printed), flush=True)


inbound.connect(received)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


server = make_server("127.0.0.1", int(os.environ["PORT"]), get_wsgi_application(), Server, Quiet)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
