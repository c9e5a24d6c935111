"""What is measured, and what has to be reached. Every run is checked: fast and wrong does not count."""
import os
import shutil
import subprocess
import time
from statistics import median

from machinery import Peer, ROOT
from page import looks
from programs import Fetchmail, Getmail, Mailferry, Mpop, Script

MIB = 1024 * 1024


class Result:
    """One row of the table: what each program took, and which bounds mailferry has to keep."""

    def __init__(self, title):
        self.title, self.runs, self.bounds = title, {}, []

    def add(self, name, run):
        self.runs.setdefault(name, []).append(run)
        print(f"    {name:12} {run.seconds:8.2f} s  {run.mebibytes:6.1f} MiB", flush=True)

    def seconds(self, name):
        return median(run.seconds for run in self.runs[name])

    def peak(self, name):
        return max(run.mebibytes for run in self.runs[name])

    def must(self, text, value, reached):
        self.bounds.append((text, value, reached))


class Bench:
    def __init__(self, folder, dovecot, rounds, only):
        self.folder, self.dovecot, self.rounds, self.only = folder, dovecot, rounds, only
        self.receiver = Peer("receiver")
        self.mailboxes = {}

    def mailbox(self, user, messages):
        """A source mailbox, laid once and used by all; `messages` makes its content."""
        if user not in self.mailboxes:
            self.mailboxes[user] = self.dovecot.fill(user, messages())
        return self.mailboxes[user]

    def taking_part(self, programs):
        return [program for program in programs if not self.only or program.name in self.only]

    def set_up(self, program, user, **ports):
        return program(self.folder / f"{program.name}-{user}", self.dovecot, user, **ports)

    def import_all(self, result, programs, user, count, **ports):
        """Rounds of whole first imports, the programs in turn."""
        for number in range(self.rounds):
            for program in self.taking_part(programs):
                if number and program.slow:
                    continue
                ready = self.set_up(program, user, **ports)
                result.add(program.name, ready.run())
                check(program.name, ready.delivered(), count)
                shutil.rmtree(ready.folder)


def check(name, delivered, expected):
    if delivered != expected:
        raise SystemExit(f"bench: {name} delivered {delivered} messages, {expected} were expected")


def corpus():
    files = sorted((ROOT / "target" / "corpus" / "messages").rglob("*.txt"))
    return [file.read_bytes() for file in files]


def small_messages(count):
    for number in range(count):
        yield (
            f"From: Sender {number} <sender{number}@example.org>\nTo: bench@example.net\nSubject: Message {number}\n"
            f"Date: Sat, 01 Aug 2026 10:00:00 +0000\nMessage-ID: <{number}@example.org>\n\nThis is message {number}.\n"
        ).encode()


def large_message(octets, encoding="base64", line=None):
    line = line or b"VGhpcyBpcyBhIGxpbmUgb2YgYSBsYXJnZSBhdHRhY2htZW50LCBpbiBiYXNlNjQsIG9mIDc2IGNoYXJz\n"[:76] + b"\n"
    header = (
        b"From: sender@example.org\nTo: bench@example.net\nSubject: Large\nMessage-ID: <large@example.org>\n"
        b"Date: Sat, 01 Aug 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n"
        b"Content-Transfer-Encoding: " + encoding.encode() + b"\n\n"
    )
    return header + line * (octets // len(line))


def real_import(bench):
    result = Result("6,046 real messages, POP3 to IMAP")
    bench.mailbox("corpus", corpus)
    bench.import_all(result, [Mailferry, Mpop, EagerScript, Getmail, Fetchmail], "corpus", 6046)
    faster_than_mpop(result, 1.0)
    if {"mailferry", "script"} <= result.runs.keys():
        times = result.seconds("script") / result.seconds("mailferry")
        result.must("at least 8 times the script", f"{times:.1f} times", times >= 8)
    return result


class EagerScript(Script):
    """Fast enough here for every round."""

    slow = False


def webhook(bench):
    return [webhook_as(bench, form, least) for form, least in (("raw", 2000), ("json", 1200))]


def webhook_as(bench, form, least):
    result = Result(f"6,046 real messages, POP3 to a webhook ({form})")
    bench.mailbox("corpus", corpus)
    for _ in range(bench.rounds):
        ready = bench.set_up(to_webhook(bench, form), "corpus")
        bench.receiver.taken()
        result.add("mailferry", ready.run())
        check("mailferry", bench.receiver.taken()[0], 6046)
    rate = 6046 / result.seconds("mailferry")
    result.must(f"at least {least:,} messages/s", f"{rate:,.0f}/s", rate >= least)
    return result


def slow_webhook(bench):
    """A receiver that takes its time is never left with an empty place."""
    count, seconds = 1000, 0.2
    receiver = Peer("receiver", int(seconds * 1000))
    bench.mailbox("thousand", lambda: corpus()[:count])
    results = []
    for at_once in (8, 20, 50):
        result = Result(f"1,000 messages to a webhook that takes 200 ms each, {at_once} at once")
        for _ in range(min(bench.rounds, 3)):
            ready = bench.set_up(to_webhook(bench, "raw", receiver, at_once), "thousand")
            receiver.taken()
            result.add("mailferry", ready.run())
            check("mailferry", receiver.taken()[0], count)
        bound, took = 1.2 * count * seconds / at_once, result.seconds("mailferry")
        result.must(f"at most {bound:.1f} s", f"{took:.1f} s", took <= bound)
        results.append(result)
    receiver.stop()
    return results


def to_webhook(bench, form, receiver=None, at_once=8):
    class ToWebhook(Mailferry):
        webhook = (receiver or bench.receiver).port
        format = form
        max_in_flight = at_once

    return ToWebhook


def nothing_new(bench):
    count = 50_000
    result = Result("nothing new, 50,000 messages left on the server")
    uidls = bench.mailbox("left", lambda: small_messages(count))
    ready = []
    for program in bench.taking_part([to_webhook(bench, "raw"), Mpop, Script, Getmail, Fetchmail]):
        print(f"    ({program.name} learns what there is)", flush=True)
        bench.receiver.taken()
        ready.append(bench.set_up(program, "left"))
        ready[-1].knows(uidls)
        if program.name == "mailferry":
            check("mailferry", bench.receiver.taken()[0], count)
    for number in range(2 * bench.rounds):
        for program in ready:
            if number == 0 or not program.slow:
                result.add(program.name, program.run())
    check("mailferry", bench.receiver.taken()[0], 0)
    faster_than_mpop(result, 1.2)
    return result


def far(bench):
    result = Result("500 messages, 40 ms round trip, POP3 to IMAP")
    bench.mailbox("five-hundred", lambda: corpus()[:500])
    way = {name: Peer("delay", f"127.0.0.1:{port}", 20) for name, port in
           (("pop3", bench.dovecot.pop3), ("imap", bench.dovecot.imap))}
    ports = {name: peer.port for name, peer in way.items()}
    bench.import_all(result, [Mailferry, Mpop, Script, Getmail, Fetchmail], "five-hundred", 500, **ports)
    for peer in way.values():
        peer.stop()
    faster_than_mpop(result, 1.3)
    return result


def near(bench):
    result = Result("the same 500 messages without the delay")
    bench.mailbox("five-hundred", lambda: corpus()[:500])
    bench.import_all(result, [Mailferry, Mpop, Script, Getmail, Fetchmail], "five-hundred", 500)
    return result


def large(bench):
    bench.mailbox("large", lambda: [large_message(LARGE)])
    # Such a part is converted on its way where the format is text.
    eight_bit = ("c\xf4t\xe9 " * 12 + "\r\n").encode("latin-1")
    bench.mailbox("large-8bit", lambda: [large_message(LARGE, "8bit", eight_bit)])
    return [large_to(bench, "IMAP", Mailferry)] + [
        large_to(bench, f"a webhook ({form})", to_webhook(bench, form)) for form in ("raw", "json", *TEXT_FORMATS)
    ] + [
        large_to(bench, f"a webhook ({form}), in 8 bits", to_webhook(bench, form), "large-8bit", 300) for form in TEXT_FORMATS
    ]


LARGE = 100 * MIB

# They carry a message as text, and have a max_bytes of their own, which is raised here.
TEXT_FORMATS = ("mailgun-mime", "postmark", "sendgrid-raw", "discourse", "redmine")


def large_to(bench, where, program, user="large", mebibytes=64):
    octets = LARGE
    result = Result(f"one message of 100 MB to {where}")
    for _ in range(min(bench.rounds, 3)):
        bench.receiver.taken()
        ready = bench.set_up(program, user)
        result.add("mailferry", ready.run())
        requests, taken = bench.receiver.taken()
        check("mailferry", requests if program.webhook else ready.delivered(), 1)
        if program.webhook and taken < octets * 0.98:
            raise SystemExit(f"bench: the webhook got {taken} octets of a message of {octets}")
    resident_at_most(result, mebibytes)
    return result


def many(bench):
    users = [f"many-{number}" for number in range(64)]
    result = Result("64 accounts importing at once (94 real messages each and one of 3 MB)")
    messages = corpus()
    for number, user in enumerate(users):
        bench.mailbox(user, lambda number=number: messages[number::64][:94] + [large_message(3 * MIB)])

    class Many(Mailferry):
        accounts = users

    for _ in range(min(bench.rounds, 3)):
        ready = bench.set_up(Many, "many")
        result.add("mailferry", ready.run())
        check("mailferry", ready.delivered(), 64 * 95)
    resident_at_most(result, 128)
    return result


def idle(bench):
    users = [f"idle-{number}" for number in range(100)]
    result = Result("idle daemon with 100 accounts")
    for user in users:
        bench.mailbox(user, lambda: small_messages(10))

    class Idle(Mailferry):
        accounts = users

    ready = bench.set_up(Idle, "idle")
    result.add("mailferry", resident_when_idle(ready, len(users)))
    check("mailferry", ready.delivered(), 1000)
    resident_at_most(result, 32)
    return result


def overview(bench):
    result = Result("the page's overview of 1,000 accounts with 1,000,000 messages")
    folder = bench.folder / "overview"
    folder.mkdir()
    for look in looks(folder, resident):
        result.add("mailferry", look)
    took = result.seconds("mailferry") * 1000
    result.must("under 50 ms", f"{took:.0f} ms", took < 50)
    return result


class Resident:
    """Of a daemon: how long until all was fetched, and what it holds once it is idle."""

    def __init__(self, seconds, mebibytes):
        self.seconds, self.mebibytes = seconds, mebibytes


def resident_when_idle(ready, accounts):
    started = time.perf_counter()
    with (ready.folder / "log").open("wb") as log:
        daemon = subprocess.Popen(ready.daemon(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        while polled(ready) < accounts or ready.delivered() < 10 * accounts:
            if daemon.poll() is not None or time.perf_counter() - started > 120:
                raise SystemExit(f"bench: the daemon does not get on:\n{(ready.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        time.sleep(5)  # Idle is what is left after connections have closed.
        return Resident(seconds, resident(daemon.pid))
    finally:
        daemon.terminate()
        daemon.wait()


def polled(ready):
    command = [*ready.command()[:1], "status", "--json", "-c", ready.config]
    status = subprocess.run(command, capture_output=True, env=os.environ)
    # Before the daemon has made the ledger there is no status.
    return ready.checked(status.stdout) if status.returncode == 0 else 0


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def faster_than_mpop(result, bound):
    if {"mailferry", "mpop"} <= result.runs.keys():
        ratio = result.seconds("mailferry") / result.seconds("mpop")
        text = "faster than mpop" if bound == 1.0 else f"at most {bound} times mpop"
        result.must(text, f"{ratio:.2f} times", ratio <= bound)


def resident_at_most(result, mebibytes):
    peak = result.peak("mailferry")
    result.must(f"resident at most {mebibytes} MiB", f"{peak:.1f} MiB", peak <= mebibytes)


SCENARIOS = {
    "import": real_import,
    "webhook": webhook,
    "slow-webhook": slow_webhook,
    "nothing-new": nothing_new,
    "far": far,
    "near": near,
    "large": large,
    "many": many,
    "idle": idle,
    "overview": overview,
}
