"""A user of the mail server, from outside: mailbox.py send|count|delete|certificate ADDRESS CA USER PASSWORD."""

from __future__ import annotations

import hashlib
import imaplib
import smtplib
import ssl
import sys
import time
from email.message import EmailMessage

COMMAND, ADDRESS, CA, USER, PASSWORD = sys.argv[1:6]
CONTEXT = ssl.create_default_context(cafile=CA)
# What the name of the server is, is the certificate's business; here is asked at an address.
CONTEXT.check_hostname = False


def imap() -> imaplib.IMAP4_SSL:
    """Log in."""
    box = imaplib.IMAP4_SSL(ADDRESS, 993, ssl_context=CONTEXT, timeout=20)
    box.login(USER, PASSWORD)
    box.select("INBOX")
    return box


def found(box: imaplib.IMAP4_SSL) -> list[bytes]:
    """Return the messages of this test."""
    numbers: list[bytes] = box.search(None, "SUBJECT", '"kept mail"')[1][0].split()
    return numbers


def send() -> None:
    """Send three messages to oneself and wait until they are there."""
    before = len(found(imap()))
    with smtplib.SMTP(ADDRESS, 587, timeout=20) as server:
        server.starttls(context=CONTEXT)
        server.login(USER, PASSWORD)
        for number in range(3):
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = USER, USER, f"kept mail {number}"
            message.set_content("text")
            server.send_message(message)
    for _ in range(60):
        if len(found(imap())) == before + 3:
            return
        time.sleep(1)
    sys.exit("the messages did not arrive")


def delete() -> None:
    """Delete all of them for good."""
    box = imap()
    for number in found(box):
        box.store(number.decode(), "+FLAGS", r"(\Deleted)")
    box.expunge()


if COMMAND == "send":
    send()
elif COMMAND == "delete":
    delete()
elif COMMAND == "certificate":
    print(hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((ADDRESS, 993)))).hexdigest())
else:
    print(len(found(imap())))
