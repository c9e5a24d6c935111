"""The programs beside each other. Each is set up in a folder of its own, keeps what it has seen there, and leaves the mail on
the server. `import_from` measures one whole process; `delivered` says how many messages have arrived since.
"""
import json
import os
import shutil
from pathlib import Path

from machinery import OWNER, ROOT, Run

MAILFERRY = Path(os.environ.get("MAILFERRY", ROOT / "target" / "release" / "mailferry"))


class Maildir:
    """A local maildir, emptied when a program is set up."""

    def __init__(self, folder):
        self.path = folder / "Maildir"
        for name in ("cur", "new", "tmp"):
            (self.path / name).mkdir(parents=True)

    def delivered(self):
        return sum(len(os.listdir(self.path / name)) for name in ("cur", "new"))


class Program:
    accepted = (0,)
    # Measured in the first round only where a run takes minutes.
    slow = False

    def __init__(self, folder, dovecot, user, pop3=None, imap=None):
        self.folder, self.dovecot, self.user = folder, dovecot, user
        self.pop3, self.imap = pop3 or dovecot.pop3, imap or dovecot.imap
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.set_up()

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def run(self):
        return Run(self.command(), self.accepted, {**os.environ, "HOME": str(self.folder), "FETCHMAILHOME": str(self.folder)})

    def delivered(self):
        return self.maildir.delivered()

    def knows(self, uidls):
        """Makes it believe that it has fetched these, where fetching them for real would take too long."""
        self.run()


class Mpop(Program):
    name = "mpop"

    def set_up(self):
        self.maildir = Maildir(self.folder)
        self.config = self.write("mpoprc", f"""
account bench
host 127.0.0.1
port {self.pop3}
user {self.user}
auth user
password secret
tls off
keep on
delivery maildir {self.maildir.path}
uidls_file {self.folder}/uidls
""")

    def command(self):
        return ["mpop", "-q", "-C", self.config, "bench"]


class Getmail(Program):
    name = "getmail6"
    slow = True

    def set_up(self):
        self.maildir = Maildir(self.folder)
        self.config = self.write("getmailrc", f"""
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = {self.pop3}
username = {self.user}
password = secret
[destination]
type = Maildir
path = {self.maildir.path}/
[options]
read_all = false
delete = false
verbose = 0
""")

    def run(self):
        shutil.chown(self.folder, OWNER)
        for path in self.folder.rglob("*"):
            shutil.chown(path, OWNER)
        return super().run()

    def command(self):
        # It refuses to deliver as root.
        as_owner = ["setpriv", f"--reuid={OWNER}", "--regid=nogroup", "--clear-groups"]
        return [*as_owner, "getmail", "--getmaildir", self.folder, "--rcfile", self.config]

    def knows(self, uidls):
        seen = "".join(f"{uidl}\0{1_700_000_000}\n" for uidl in uidls)
        self.write(f"oldmail-127.0.0.1-{self.pop3}-{self.user}", seen)


class Fetchmail(Program):
    name = "fetchmail"
    slow = True
    accepted = (0, 1)  # 1: there was no new mail

    def set_up(self):
        self.output = self.folder / "bsmtp"
        self.config = self.write("fetchmailrc", f"""
poll 127.0.0.1 service {self.pop3} protocol pop3 auth password uidl:
  user "{self.user}" password "secret" is "{self.user}" here sslproto '' keep no rewrite bsmtp "{self.output}"
""")

    def command(self):
        return ["fetchmail", "-f", self.config, "-i", self.folder / "fetchids", "--pidfile", self.folder / "pid", "--silent"]

    def delivered(self):
        with self.output.open("rb") as file:
            return sum(line.startswith(b"MAIL FROM:") for line in file)

    def knows(self, uidls):
        self.write("fetchids", "".join(f"{self.user}@127.0.0.1 {uidl}\n" for uidl in uidls))


class Script(Program):
    name = "script"
    slow = True

    def set_up(self):
        self.to = f"{self.user}-script"
        self.dovecot.drop(self.to)

    def command(self):
        script = ROOT / "tests" / "bench" / "script.py"
        return ["python3", script, self.pop3, self.imap, self.user, self.to, self.folder / "known"]

    def delivered(self):
        return self.dovecot.delivered(self.to)

    def knows(self, uidls):
        self.write("known", "".join(f"{uidl}\n" for uidl in uidls))


class Mailferry(Program):
    """To an IMAP folder of the same Dovecot, or with `webhook` set to a receiver."""

    name = "mailferry"
    webhook = None
    format = "raw"
    max_in_flight = 8
    accounts = None
    every = "1h"

    def set_up(self):
        self.to = f"{self.user}-mailferry"
        self.dovecot.drop(self.to)
        users = self.accounts or [self.user]
        accounts = "".join(self.account(number, user) for number, user in enumerate(users))
        self.config = self.write("mailferry.toml", f'ledger = "{self.folder}/mailferry.db"\n{self.destination()}{accounts}')

    def destination(self):
        if self.webhook:
            return f"""
[destination.to]
kind = "webhook"
url = "http://127.0.0.1:{self.webhook}/inbound"
format = "{self.format}"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
max_bytes = "150 MiB"
max_in_flight = {self.max_in_flight}
"""
        return f"""
[destination.to]
kind = "imap"
host = "127.0.0.1"
port = {self.imap}
tls = "none"
user = "{self.to}"
password = "secret"
"""

    def account(self, number, user):
        return f"""
[account.a{number}]
host = "127.0.0.1"
port = {self.pop3}
tls = "none"
user = "{user}"
password = "secret"
every = "{self.every}"
deliver = [{{ to = "to" }}]
"""

    def command(self):
        return [MAILFERRY, "fetch", "-c", self.config]

    def daemon(self):
        return [MAILFERRY, "run", "-c", self.config]

    def delivered(self):
        return self.dovecot.delivered(self.to)

    def checked(self, status):
        """How many accounts a `status --json` calls checked without error."""
        accounts = json.loads(status)["accounts"]
        return sum(account["last_success"] is not None for account in accounts)
