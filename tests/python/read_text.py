"""What Python's `email` package, with its default policy, reads as the text of each message: a line of JSON for each file
that a line of the standard input names; null where there is no text."""

import email
import email.policy
import json
import sys


def text_of(path):
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    try:
        part = message.get_body(("plain",))
        return part.get_content() if part is not None else None
    except LookupError:  # A charset that it does not know.
        return {"fault": "unknown charset"}


for line in sys.stdin:
    print(json.dumps(text_of(line.rstrip("\n"))))
