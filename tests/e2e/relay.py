"""Runs in world: tries to have a mail server relay, in every form that one ever fell for; prints what it answered.

Its argument is a JSON object: `address` and `port` to try, `source` to come from, `domain`, `host`, `victim` elsewhere,
`local` (a mailbox that is there), and `token`, which each message carries.
"""

from __future__ import annotations

import json
import smtplib
import sys
from typing import Any


def senders(domain: str, host: str, address: str, victim: str, local: str) -> dict[str, str]:
    """Return who may claim to send."""
    stranger = f"stranger@{victim.partition('@')[2]}"
    return {
        "plain": stranger,
        "null sender": "",
        "from a mailbox of the server": local,
        "from an unknown name of its domain": f"nobody@{domain}",
        "from its host name": f"stranger@{host}",
        "from its address": f"stranger@[{address}]",
        "from localhost": "stranger@localhost",
        "from a bare name": "stranger",
        "from the loopback address": "stranger@[127.0.0.1]",
        "from whom it is for": victim,
    }


def recipients(domain: str, host: str, address: str, victim: str) -> dict[str, str]:
    """Return each way to write somebody elsewhere."""
    user, _at, away = victim.partition("@")
    return {
        "percent at its domain": f"{user}%{away}@{domain}",
        "percent at its host name": f"{user}%{away}@{host}",
        "percent at its address": f"{user}%{away}@[{address}]",
        "percent at localhost": f"{user}%{away}@localhost",
        "percent alone": f"{user}%{away}",
        "two percents": f"{user}%{away}%{domain}@{host}",
        "quoted": f'"{victim}"',
        "quoted percent": f'"{user}%{away}"',
        "quoted at its domain": f'"{victim}"@{domain}',
        "quoted at its host name": f'"{victim}"@{host}',
        "quoted at its address": f'"{victim}"@[{address}]',
        "two at signs, its domain": f"{victim}@{domain}",
        "two at signs, its host name": f"{victim}@{host}",
        "two at signs, its address": f"{victim}@[{address}]",
        "route by its domain": f"@{domain}:{victim}",
        "route by its host name": f"@{host}:{victim}",
        "route by its address": f"@[{address}]:{victim}",
        "route by localhost": f"@localhost:{victim}",
        "route of two hops": f"@{domain},@{host}:{victim}",
        "bang path": f"{away}!{user}",
        "bang path at its domain": f"{away}!{user}@{domain}",
        "bang path at its host name": f"{away}!{user}@{host}",
        "bang path at its address": f"{away}!{user}@[{address}]",
        "bang path of two hops": f"{host}!{away}!{user}",
        "address literal": f"{user}@[172.30.0.9]",
        "dot at the end": f"{victim}.",
        "capitals": victim.upper(),
        "blanks": f" {user} @ {away} ",
    }


def forms(domain: str, host: str, address: str, victim: str, local: str) -> dict[str, dict[str, Any]]:
    """Return each form by its name: who greets, who sends, to whom."""
    away = victim.partition("@")[2]
    found: dict[str, dict[str, Any]] = {
        name: {"sender": sender} for name, sender in senders(domain, host, address, victim, local).items()
    }
    ways = recipients(domain, host, address, victim)
    found |= {name: {"recipients": [recipient]} for name, recipient in ways.items()}
    found |= {
        "greeting with its own name": {"greeting": host},
        "greeting as localhost": {"greeting": "localhost"},
        "greeting with its address": {"greeting": f"[{address}]"},
        "behind one that is its own": {"recipients": [local, victim]},
        "encrypted": {"encrypted": True},
        "claiming a login of somebody": {"options": [f"AUTH={local}"]},
    }
    usual = {
        "greeting": f"mail.{away}",
        "sender": senders(domain, host, address, victim, local)["plain"],
        "recipients": [victim],
        "encrypted": False,
        "options": [],
    }
    return {name: {**usual, **form} for name, form in found.items()}


def attempt(form: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    """Send one message as far as the server goes along; return the recipients it took, and its last words."""
    server = smtplib.SMTP(given["address"], int(given["port"]), timeout=30, source_address=(given["source"], 0))
    try:
        server.ehlo(form["greeting"])
        if form["encrypted"]:
            server.starttls()
            server.ehlo(form["greeting"])
        code, said = server.docmd("MAIL", " ".join([f"FROM:<{form['sender']}>", *form["options"]]))
        taken = []
        for recipient in form["recipients"] if code == 250 else []:
            code, said = server.docmd("RCPT", f"TO:<{recipient}>")
            taken += [recipient] if code in (250, 251) else []
        if taken:
            text = f"From: <{form['sender']}>\r\nSubject: {given['token']}\r\n\r\n{given['token']}\r\n"
            code, said = server.data(text)
        return {"taken": taken, "code": code, "said": said.decode("utf-8", "replace")}
    finally:
        server.close()


def main() -> None:
    """Try them all."""
    given = json.loads(sys.argv[1])
    every = forms(*(given[name] for name in ("domain", "host", "address", "victim", "local")))
    print(json.dumps({name: attempt(form, given) for name, form in every.items()}))


if __name__ == "__main__":
    main()
