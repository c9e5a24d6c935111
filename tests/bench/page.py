"""The page of somebody with very many accounts."""
import http.client
import sqlite3
import subprocess
import time
import urllib.parse

from machinery import ROOT
from programs import MAILFERRY

ACCOUNTS = 1000
LOOKS = 9
PASSWORD = "correct horse"

HOME = """
[web]
listen = "127.0.0.1:0"

[destination.home]
kind = "imap"
host = "127.0.0.1"
port = 1
tls = "none"
user = "me"
password = "secret"
"""

ACCOUNT = """
[account.account-{:04}]
host = "127.0.0.1"
port = 1
tls = "none"
user = "{}"
password = "secret"
paused = true
deliver = [{{ to = "home" }}]
"""


class Look:
    """What one look at the page costs: seconds, and what the daemon holds then."""

    def __init__(self, seconds, mebibytes):
        self.seconds, self.mebibytes = seconds, mebibytes


def looks(folder, resident):
    """Fills a ledger beside a daemon, and looks at the overview again and again."""
    config = folder / "mailferry.toml"
    config.write_text(HOME + "".join(ACCOUNT.format(n, n) for n in range(ACCOUNTS)))
    config.chmod(0o600)
    log = folder / "log"
    with log.open("wb") as out:
        daemon = subprocess.Popen([MAILFERRY, "run", "-c", config], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        address = address_in(log, daemon)
        ledger = sqlite3.connect(folder / "mailferry.db")
        ledger.executescript((ROOT / "tests" / "many.sql").read_text())
        ledger.close()
        cookie = sign_in(address)
        return [Look(seconds_of_a_look(address, cookie), resident(daemon.pid)) for _ in range(LOOKS)]
    finally:
        daemon.terminate()
        daemon.wait()


def address_in(log, daemon):
    while daemon.poll() is None:
        for line in log.read_text().splitlines():
            if "the page is up" in line:
                return line.split("address=")[1].split()[0]
        time.sleep(0.1)
    raise SystemExit(f"bench: the daemon has ended:\n{log.read_text()[-2000:]}")


def sign_in(address):
    browser = http.client.HTTPConnection(address)
    form = urllib.parse.urlencode({"code": "", "password": PASSWORD, "again": PASSWORD})
    headers = {"origin": f"http://{address}", "sec-fetch-site": "same-origin",
               "content-type": "application/x-www-form-urlencoded"}
    browser.request("POST", "/first-use", form, headers)
    return browser.getresponse().headers["set-cookie"].split(";")[0]


def seconds_of_a_look(address, cookie):
    browser = http.client.HTTPConnection(address)
    started = time.perf_counter()
    browser.request("GET", "/", headers={"cookie": cookie, "sec-fetch-site": "same-origin"})
    answer = browser.getresponse()
    text = answer.read().decode()
    seconds = time.perf_counter() - started
    if answer.status != 200 or "1,000 accounts" not in text:
        raise SystemExit(f"bench: this is not the overview: {answer.status} {text[:500]}")
    return seconds
