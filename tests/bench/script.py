"""What people write themselves: POP3 to IMAP in twenty lines."""
import imaplib
import os
import poplib
import sys

pop_port, imap_port, user, to, known_file = sys.argv[1:]
known = set(open(known_file, "rb").read().split()) if os.path.exists(known_file) else set()
poplib._MAXLINE = 1 << 20  # real mail has lines over 2048
pop = poplib.POP3("127.0.0.1", int(pop_port))
pop.user(user)
pop.pass_("secret")
imap = imaplib.IMAP4("127.0.0.1", int(imap_port))
imap.login(to, "secret")
with open(known_file, "ab") as record:
    for line in pop.uidl()[1]:
        number, uidl = line.split()
        if uidl not in known:
            message = b"\r\n".join(pop.retr(int(number))[1]) + b"\r\n"
            imap.append("INBOX", None, None, message)
            record.write(uidl + b"\n")
pop.quit()
imap.logout()
