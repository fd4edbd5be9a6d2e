"""Mail from outside: what is delivered is signed and verified, what is not ours is refused, and keys rotate."""

from __future__ import annotations

import json
import random
import smtplib
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils import mail_probe

from tests.e2e.converge import ADDRESS, HOST, PHASE1, ROOT, Platform, chosen

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

RESOLVER = "172.30.0.2"
PARTNER = "partner.test"
# Addresses in world: of a stranger, and of one that is banned for a while.
STRANGER, BURGLAR = "172.30.0.3", "172.30.0.4"
LOGINS = 10
# Of rotate_dkim.yml, until everything is noted; counted by the lines TASK of a run with a new key.
TASKS = 16
# In the sandbox the zone lets denials live for a second.
TIMES = {"lifetime": 180, "overlap": 7, "settle": 2}
# What the exchanger has for a recipient: subject, results, selectors.
INBOX = """
import email, email.policy, json, pathlib, sys
found = []
for path in pathlib.Path("/var/lib/world/mail/inbox/new").iterdir():
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if sys.argv[1] in str(message["X-Original-To"]):
        results = " ".join(str(message["Authentication-Results"]).split())
        selectors = [tag.strip()[2:] for one in message.get_all("DKIM-Signature", []) for tag in str(one).split(";")
                     if tag.strip().startswith("s=")]
        found.append({"subject": str(message["Subject"]), "results": results, "selectors": selectors})
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Mail:
    """The platform's mail, as its users and its administrator know it."""

    platform: Platform
    inventory_host: str
    address: str
    domain: str
    host: str
    api_key: str
    user: str
    other: str
    password: str = field(repr=False)
    ca: str = field(repr=False)

    def account(self, **other: Any) -> mail_probe.Account:
        """Return the mailbox of the tests."""
        known = {"host": self.host, "address": self.address, "user": self.user, "password": self.password}
        return mail_probe.Account(**{**known, "ca": self.ca, "timeout": 30, **other})

    def rotate(self, *arguments: str, **extra: Any) -> str:
        """Run the rotation to its end; return what it said."""
        return self.platform.converge("rotate_dkim", *arguments, extra={"dkim_times": TIMES, **extra}).output


@pytest.fixture(scope="module")
def mail(converged: str) -> Mail:  # noqa: ARG001 - the host has to be converged first
    """The mail of the converged platform."""
    secrets = yaml.safe_load((ROOT / "inventories/development/group_vars/all/vault.yml").read_text())
    inventory = ["ansible-inventory", "--inventory", PHASE1.inventory, "--playbook-dir", "playbooks", "--host", HOST]
    known = json.loads(subprocess.run(inventory, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    domain = known["domain"]
    return Mail(
        platform=PHASE1,
        inventory_host=HOST,
        address=ADDRESS,
        domain=domain,
        host=f"mail.{domain}",
        api_key=secrets["vault_mail_api_key"],
        user=f"probe@{domain}",
        other=f"postmaster@{domain}",
        password=secrets["vault_mailbox_probe"],
        ca=roots(),
    )


def roots() -> str:
    """Return the certificates that visitors of the sandbox trust."""
    fetch = ["docker", "exec", "world", "curl", "-fsS", "https://127.0.0.1:15000/roots/0", "--insecure"]
    return subprocess.run(fetch, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def inbox(world: Shell) -> Callable[..., list[dict[str, Any]]]:
    """What the other domain's exchanger has for a recipient, once there are so many."""

    def read(recipient: str, count: int) -> list[dict[str, Any]]:
        end = time.monotonic() + 120
        while True:
            found: list[dict[str, Any]] = json.loads(world(f"python3 - {recipient}", INBOX).stdout)
            if len(found) >= count or time.monotonic() > end:
                return found
            time.sleep(1)

    return read


def fresh() -> str:
    """Return a recipient at the other domain that nobody has written to."""
    return f"reader+{uuid.uuid4().hex}@{PARTNER}"


class Sender:
    """Sends all the time, over one session after another, until it is told to stop."""

    def __init__(self, mail: Mail) -> None:
        self.mail, self.recipient = mail, fresh()
        self.sent: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        # What happens next shall happen while mail flows.
        while not self.sent and not self.failures:
            time.sleep(0.1)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        account = self.mail.account()
        while not self._stop.is_set():
            try:
                with mail_probe.Smtp(account, 587) as server:
                    server.starttls(context=account.tls())
                    server.login(account.user, account.password)
                    self._session(server)
            except (OSError, smtplib.SMTPException) as error:
                self.failures.append(repr(error))
                self._stop.wait(1)

    def _session(self, server: smtplib.SMTP) -> None:
        for _number in range(20):
            message = mail_probe.compose(self.mail.user, self.recipient)
            del message["Subject"]
            message["Subject"] = uuid.uuid4().hex
            server.send_message(message)
            self.sent.append(message["Subject"])
            if self._stop.wait(0.15):
                return


def assert_all_verified(sender: Sender, got: list[dict[str, Any]]) -> Counter[str]:
    """Make sure that each message that was sent has arrived and passed; return how many each selector signed."""
    assert sender.failures == []
    assert sorted(one["subject"] for one in got) == sorted(sender.sent)
    assert [one for one in got if "dkim=pass" not in one["results"] or "dmarc=pass" not in one["results"]] == []
    return Counter(one["selectors"][0] for one in got)


@pytest.fixture
def keys(mail: Mail, on_host: Shell) -> Callable[[], dict[str, str]]:
    """The states of the domain's keys, by selector."""

    def read() -> dict[str, str]:
        text = on_host(mail.address, f"cat /etc/vise/dkim/{mail.domain}/keys.json").stdout
        return {name: one["state"] for name, one in json.loads(text).items()}

    return read


def active(states: dict[str, str]) -> str:
    """Return the one key that signs; no other is on its way."""
    (found,) = [name for name, state in states.items() if state == "active"]
    assert set(states.values()) <= {"active", "retiring", "retired"}
    return found


def txt(world: Shell, mail: Mail, selector: str) -> str:
    """Return what the DNS has of a key, its strings one after another as they come."""
    return world(f"dig +short @{RESOLVER} TXT {selector}._domainkey.{mail.domain}").stdout.strip()


def test_delivered_message_passes_spf_dkim_and_dmarc(mail: Mail, inbox: Callable[..., Any]) -> None:
    recipient = fresh()
    mail_probe.submit(mail.account(), mail_probe.compose(mail.user, recipient))
    (got,) = inbox(recipient, 1)
    print(got["results"])
    for verdict in ("iprev=pass", "dkim=pass", "spf=pass", "dmarc=pass"):
        assert verdict in got["results"]


def test_message_from_elsewhere_arrives(mail: Mail, world: Shell) -> None:
    token = f"<{uuid.uuid4().hex}@{PARTNER}>"
    head = f"From: friend@{PARTNER}\nTo: {mail.user}\nSubject: from elsewhere\nMessage-ID: {token}\n\nhello\n"
    world(f"sendmail -f friend@{PARTNER} {mail.user}", head)
    assert b"from elsewhere" in mail_probe.fetch(mail.account(), token, 60)


@pytest.mark.parametrize("port", [25, 587])
def test_no_form_of_relaying_is_accepted(mail: Mail, world: Shell, inbox: Callable[..., Any], port: int) -> None:
    victim, token = fresh(), uuid.uuid4().hex
    given = {"address": mail.address, "port": port, "source": STRANGER, "domain": mail.domain, "host": mail.host}
    argument = json.dumps({**given, "victim": victim, "local": mail.other, "token": token})
    script = (Path(__file__).parent / "relay.py").read_text()
    answers = json.loads(world(f"python3 - '{argument}'", script).stdout)
    print(f"{len(answers)} forms at port {port}, answered", dict(Counter(one["code"] for one in answers.values())))
    # The one that is its own may be taken beside the others, by the port for mail from elsewhere.
    assert {name: one for name, one in answers.items() if set(one["taken"]) - {mail.other}} == {}
    assert len(answers) >= 30
    # With a login the same way is open: what was refused is relaying, and not the victim.
    mail_probe.submit(mail.account(), mail_probe.compose(mail.user, victim))
    assert [one["subject"] for one in inbox(victim.partition("@")[0], 1)] == ["Probe of mail delivery"]
    assert world(f"grep -rl {token} /var/lib/world/mail/inbox", check=False).stdout == ""


@pytest.mark.parametrize("sender", ["{other}", "nobody@{domain}", f"boss@{PARTNER}", "probe@{host}"])
def test_login_does_not_send_as_somebody_else(mail: Mail, sender: str) -> None:
    forged = sender.format(other=mail.other, domain=mail.domain, host=mail.host)
    account = mail.account()
    with mail_probe.Smtp(account, 587) as server:
        server.starttls(context=account.tls())
        server.login(account.user, account.password)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            server.sendmail(forged, [fresh()], b"Subject: forged\r\n\r\nforged\r\n")
        ((code, said),) = refused.value.recipients.values()
        assert (code, b"not owned by user" in said) == (553, True)


LOGIN = """
import smtplib, sys
address, source, user = sys.argv[1:]
try:
    with smtplib.SMTP(address, 587, timeout=5, source_address=(source, 0)) as server:
        server.starttls()
        server.login(user, "guess")
except smtplib.SMTPAuthenticationError:
    print("refused")
except OSError:
    print("no way in")
"""


def reaches(world: Shell, mail: Mail, source: str) -> bool:
    """Whether an address in world gets a connection to the port for users."""
    return world(f"timeout 3 ncat --source {source} -z {mail.address} 587", check=False).returncode == 0


def comes_to(expected: bool, world: Shell, mail: Mail, source: str) -> bool:
    """Wait for the packet filter, which follows what was logged or asked for."""
    for _second in range(20):
        if reaches(world, mail, source) is expected:
            return True
        time.sleep(1)
    return False


@pytest.fixture
def unbanned(mail: Mail, on_host: Shell, world: Shell) -> Iterator[None]:
    """Whoever was banned may come again."""
    yield
    # Bans are of networks; of one address it is this.
    body = json.dumps({"items": [f"{BURGLAR}/32"], "attr": {"action": "unban"}})
    head = f"X-API-Key: {mail.api_key}\\nContent-Type: application/json"
    on_host(
        mail.address,
        f"printf '{head}' | curl -fsS -H @- -d '{body}' http://127.0.0.1:8080/api/v1/edit/fail2ban",
    )
    assert comes_to(True, world, mail, BURGLAR)


@pytest.mark.usefixtures("unbanned")
def test_who_guesses_passwords_is_banned_within_ten_tries(mail: Mail, world: Shell) -> None:
    def attempt(source: str) -> str:
        return world(f"python3 - {mail.address} {source} {mail.user}", LOGIN).stdout.strip()

    tries = [attempt(BURGLAR) for _number in range(LOGINS)]
    assert tries[0] == "refused"
    # No further guess is made until the ban is there.
    assert comes_to(False, world, mail, BURGLAR)
    assert attempt(BURGLAR) == "no way in"
    assert reaches(world, mail, STRANGER)


@pytest.mark.deep
def test_mail_that_is_sent_while_keys_rotate_verifies(
    mail: Mail, inbox: Callable[..., Any], keys: Callable[[], dict[str, str]]
) -> None:
    mail.rotate()
    old = active(keys())
    with Sender(mail) as sender:
        said = mail.rotate(rotate_force=True)
        # Some are signed by the new key in any case.
        sent = len(sender.sent)
        while len(sender.sent) < sent + 10:
            time.sleep(0.2)
    new = active(keys())
    signed = assert_all_verified(sender, inbox(sender.recipient, len(sender.sent)))
    print(f"{len(sender.sent)} sent, {sum(signed.values())} verified, by key: {dict(signed)}")
    assert set(signed) == {old, new}
    assert "UTC to retire " in said


@pytest.mark.deep
def test_rotation_that_is_killed_is_finished_by_the_next_run(
    mail: Mail, inbox: Callable[..., Any], keys: Callable[[], dict[str, str]], world: Shell
) -> None:
    extra = {"dkim_times": TIMES, "rotate_force": True}
    with Sender(mail) as sender:
        for task, delay in chosen(seed=11, tasks=TASKS, times=4, longest=1):
            print("killed in", mail.platform.kill_in(task, delay, extra, "rotate_dkim"))
            mail.rotate()
            states = keys()
            assert txt(world, mail, active(states)).startswith('"v=DKIM1; k=rsa; p=')
    signed = assert_all_verified(sender, inbox(sender.recipient, len(sender.sent)))
    print(f"{len(sender.sent)} sent, {sum(signed.values())} verified, by key: {dict(signed)}")
    # What the last run leaves alone is finished.
    assert "changed=0" in mail.rotate()


@pytest.mark.deep
def test_long_key_that_was_prepared_signs_and_fits_into_the_dns(
    mail: Mail, inbox: Callable[..., Any], keys: Callable[[], dict[str, str]], world: Shell
) -> None:
    selector = f"long{random.randrange(10**6)}"  # noqa: S311 - a name, and no secret
    options = json.dumps({"keys": [{"domain": mail.domain, "selector": selector, "size": 4096}]})
    command = ["ansible", mail.inventory_host, "--inventory", mail.platform.inventory]
    subprocess.run([*command, "-m", "vise.platform.dkim_key", "-a", options], cwd=ROOT, check=True, capture_output=True)
    mail.rotate()
    assert active(keys()) == selector
    strings = txt(world, mail, selector).strip('"').split('" "')
    assert len(strings) == 3
    assert max(len(one) for one in strings) <= 255
    recipient = fresh()
    mail_probe.submit(mail.account(), mail_probe.compose(mail.user, recipient))
    (got,) = inbox(recipient, 1)
    assert (got["selectors"], "dkim=pass" in got["results"]) == ([selector], True)


@pytest.mark.deep
def test_old_keys_are_retired_when_their_time_is_over(
    mail: Mail, keys: Callable[[], dict[str, str]], world: Shell, on_host: Shell
) -> None:
    mail.rotate(rotate_force=True)
    retiring = [name for name, state in keys().items() if state == "retiring"]
    assert all(txt(world, mail, name) for name in retiring)
    mail.rotate(dkim_times={**TIMES, "overlap": 0})
    states = keys()
    assert [states[name] for name in retiring] == ["retired"] * len(retiring)
    assert [name for name in retiring if txt(world, mail, name)] == []
    files = on_host(mail.address, f"ls /etc/vise/dkim/{mail.domain}").stdout.split()
    assert sorted(files) == ["keys.json", f"{active(states)}.pem"]
    assert "changed=0" in mail.rotate()


@pytest.mark.deep
def test_message_that_cannot_be_verified_takes_the_rotation_back(
    mail: Mail, keys: Callable[[], dict[str, str]], inbox: Callable[..., Any]
) -> None:
    old = active(keys())
    wrong = [{"user": mail.user, "password": "canary-wrong"}]
    run = mail.platform.play("rotate_dkim", extra={"dkim_times": TIMES, "rotate_force": True, "mail_probes": wrong})
    assert run.code != 0
    assert "Mail is signed with the previous keys again" in " ".join(run.output.split())
    assert "login refused" in run.output
    assert "canary" not in run.output
    recipient = fresh()
    mail_probe.submit(mail.account(), mail_probe.compose(mail.user, recipient))
    assert inbox(recipient, 1)[0]["selectors"] == [old]
    mail.rotate()
    assert active(keys()) != old


def test_tlsa_that_does_not_name_the_key_of_port_25_is_refused(mail: Mail, world: Shell) -> None:
    run = mail.platform.play("publish_dns", extra={"dns_tlsa": ["ab" * 32]})
    assert run.code != 0
    ask = f"sleep 1 | openssl s_client -connect {mail.host}:25 -starttls smtp 2>/dev/null | openssl x509 -noout -pubkey"
    shown = world(f"{ask} | openssl pkey -pubin -outform DER | sha256sum").stdout.split()[0]
    assert f"hash of the key of port 25, {shown}" in " ".join(run.output.split())
    assert world(f"dig +short TLSA _25._tcp.{mail.host}").stdout == ""


def test_checkdmarc_finds_nothing_wrong(mail: Mail) -> None:
    command = ["checkdmarc", "--nameserver", RESOLVER, "--timeout", "10", mail.domain]
    verdict = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(json.dumps(verdict, indent=1))
    assert verdict["spf"]["valid"] is True
    assert verdict["dmarc"]["valid"] is True
    assert [host["hostname"] for host in verdict["mx"]["hosts"]] == [mail.host]
    assert verdict["smtp_tls_reporting"]["valid"] is True
