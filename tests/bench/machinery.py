"""What the scenarios run on: a Dovecot with as many mailboxes as they like, a long way, a webhook receiver, and the clock."""
import os
import poplib
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "target" / "bench"
OWNER = "nobody"

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = 127.0.0.1
protocols = pop3 imap
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_fsync = never
mail_uid = {owner}
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 1
# A reader leaves the mailbox as it was: every round finds the same.
pop3_no_flag_updates = yes
mail_max_userip_connections = 0
default_process_limit = 500
default_client_limit = 5000
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = home={folder}/mail/%u
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Dovecot:
    """Every user exists and has the password "secret"; what was delivered is counted in the files."""

    def __init__(self, folder):
        self.folder = folder
        self.pop3, self.imap = free_port(), free_port()
        self.folder.mkdir()
        self.mail = folder / "mail"
        self.mail.mkdir()
        shutil.chown(self.mail, OWNER, "nogroup")
        config = folder / "dovecot.conf"
        config.write_text(DOVECOT.format(folder=folder, owner=OWNER, pop3=self.pop3, imap=self.imap))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", config])
        self.wait_until_up()

    def wait_until_up(self):
        for _ in range(100):
            try:
                poplib.POP3("127.0.0.1", self.pop3).quit()
                return
            except (OSError, EOFError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit(f"bench: Dovecot does not start:\n{(self.folder / 'log').read_text()}")

    def fill(self, user, messages):
        """Lays a mailbox of these messages (bytes), and lets Dovecot index it before anything is measured."""
        maildir = self.mail / user / "Maildir"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        for count, message in enumerate(messages, 1):
            # Names end in what tells them apart: Dovecot's hash of names sees little else, and 50,000 alike cost it 4 s.
            (maildir / "cur" / f"{count:06}:2,").write_bytes(message)
        subprocess.run(["chown", "-R", f"{OWNER}:nogroup", self.mail / user], check=True)
        pop = poplib.POP3("127.0.0.1", self.pop3)
        pop.user(user)
        pop.pass_("secret")
        uidls = pop.uidl()[1]
        pop.list()
        pop.quit()
        assert len(uidls) == count, f"{user}: {len(uidls)} of {count} listed"
        return [line.split()[1].decode() for line in uidls]

    def delivered(self, user):
        return sum(1 for path in (self.mail / user / "Maildir").rglob("*") if path.parent.name in ("cur", "new"))

    def drop(self, user):
        shutil.rmtree(self.mail / user, ignore_errors=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Peer:
    """A program of ours that prints its port first: tests/bench/NAME.rs."""

    def __init__(self, name, *arguments):
        command = [BUILT / name, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())

    def taken(self):
        """For the receiver: requests and octets since the last question."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as answer:
            return tuple(map(int, answer.read().split()))

    def stop(self):
        self.process.kill()
        self.process.wait()


def build_peers():
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in ("delay", "receiver"):
        source, program = ROOT / "tests" / "bench" / f"{name}.rs", BUILT / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["rustc", "--edition", "2024", "-O", "-o", program, source], check=True)


class Run:
    """One whole process: seconds on the clock, peak resident memory in MiB."""

    def __init__(self, command, accepted=(0,), environment=None):
        os.sync()  # What the last run left to be written is not this one's burden.
        report, output = BUILT / "time", BUILT / "output"
        # GNU time starts it: a child of Python's would inherit Python's own peak as its floor.
        timed = ["time", "--quiet", "-f", "%M", "-o", report, *map(str, command)]
        with output.open("wb") as sink:
            started = time.perf_counter()
            status = subprocess.run(timed, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environment).returncode
            self.seconds = time.perf_counter() - started
        if status not in accepted:
            text = output.read_text(errors="replace")[-2000:]
            raise SystemExit(f"bench: {' '.join(map(str, command))}\nends with {status}:\n{text}")
        self.mebibytes = int(report.read_text().split()[-1]) / 1024
