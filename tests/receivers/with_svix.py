"""deploy/webhooks/receiver.py, with the library of Svix instead: it verifies the same signatures, and never parses."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import svix.webhooks


class Webhook(svix.webhooks.Webhook):
    def verify(self, data, headers, json_parse):
        assert not json_parse
        return super().verify(data, headers)


stand_in = ModuleType("standardwebhooks")
stand_in.Webhook = Webhook
stand_in.WebhookVerificationError = svix.webhooks.WebhookVerificationError
sys.modules["standardwebhooks"] = stand_in
runpy.run_path(str(Path(__file__).parents[2] / "deploy/webhooks/receiver.py"), run_name="__main__")
