"""The mail exchanger of another domain, partner.test: validates received mail, and sends mail from any sender.

packages: postfix python3-dkim python3-dnspython python3-milter python3-spf
names: partner.test mx.partner.test
address: 9
ports: 25
ready: printf 'QUIT\\r\\n' | ncat -w 2 172.30.0.9 25 | grep -q '^220 mx.partner.test'
ready: dig +short @172.30.0.2 partner.test MX | grep -qx '10 mx.partner.test.'
"""

# Mail for any address at partner.test is delivered to the Maildir /var/lib/world/mail/inbox. The header X-Original-To
# has its recipient, Authentication-Results the results of SPF, DKIM and DMARC.
# In world, `sendmail -f user@partner.test` sends from this address with a DKIM signature, any other sender without.

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import kit

DOMAIN, HOST, SELECTOR = "partner.test", "mx.partner.test", "world"
ADDRESS4, ADDRESS6 = "172.30.0.9", "fd30::9"
MAIL = kit.STATE / "mail"
KEY = kit.STATE / "partner.key"
SETTINGS = {
    "compatibility_level": "3.10",
    "maillog_file": "/var/log/exchanger.log",
    "myhostname": HOST,
    "inet_interfaces": f"{ADDRESS4}, {ADDRESS6}",
    "inet_protocols": "all",
    # Send from the exchanger's own address, which its SPF record allows, not from world's.
    "smtp_bind_address": ADDRESS4,
    "smtp_bind_address6": ADDRESS6,
    "mynetworks": "127.0.0.0/8 [::1]/128",
    "mydestination": "",
    "local_transport": "error:no local mail",
    "alias_maps": "",
    "virtual_mailbox_domains": DOMAIN,
    "virtual_mailbox_base": str(MAIL),
    "virtual_mailbox_maps": "static:inbox/",
    "virtual_uid_maps": "static:65534",
    "virtual_gid_maps": "static:65534",
    "recipient_delimiter": "+",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_tls_security_level": "may",
    "smtp_tls_security_level": "may",
    "smtp_tls_CAfile": "/etc/ssl/certs/ca-certificates.crt",
    "smtp_tls_loglevel": "1",
    "smtpd_tls_loglevel": "1",
    "smtpd_milters": "inet:127.0.0.1:9901",
    "non_smtpd_milters": "inet:127.0.0.1:9901",
    # Short retries, so that tests do not wait for minutes.
    "minimal_backoff_time": "5s",
    "maximal_backoff_time": "30s",
    "queue_run_delay": "5s",
    "notify_classes": "",
}


def publish_records() -> None:
    """Publish the domain's MX, SPF, DMARC and DKIM records; the DKIM key is created once."""
    if not KEY.exists():
        KEY.touch(mode=0o600)
        KEY.write_text(kit.run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
    public = "".join(kit.run("openssl", "pkey", "-in", str(KEY), "-pubout").splitlines()[1:-1])
    pieces = " ".join(f'"{text}"' for text in ("v=DKIM1; k=rsa; p=", public[:250], public[250:]))
    wanted = {
        f"{DOMAIN}. MX": f"10 {HOST}.",
        f"{DOMAIN}. TXT": f'"v=spf1 ip4:{ADDRESS4} ip6:{ADDRESS6} -all"',
        f"_dmarc.{DOMAIN}. TXT": '"v=DMARC1; p=reject"',
        f"{SELECTOR}._domainkey.{DOMAIN}. TXT": pieces,
    }
    lines = [
        line
        for key, value in wanted.items()
        for line in (f"update delete {key}", f"update add {key.replace(' ', ' 1 ')} {value}")
    ]
    kit.update_dns(*lines, zone=DOMAIN)


def configure_postfix() -> None:
    """Write Postfix's configuration, without Debian's chroots, so that Postfix uses world's DNS."""
    cert, key = kit.issue_certificate(HOST)
    settings = {**SETTINGS, "smtpd_tls_cert_file": str(cert), "smtpd_tls_key_file": str(key)}
    Path("/etc/postfix/main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    master = Path("/usr/share/postfix/master.cf.dist").read_text()
    Path("/etc/postfix/master.cf").write_text(master)
    kit.run("postconf", "-F", "*/*/chroot=n")
    # Create the Maildir now, so that tests find an empty folder before the first message.
    for folder in ("cur", "new", "tmp"):
        (MAIL / "inbox" / folder).mkdir(parents=True, exist_ok=True)
    kit.run("chown", "--recursive", "nobody:nogroup", str(MAIL))


def start_milter() -> None:
    """Start the milter; when it ends, the service ends too, and systemd restarts both."""
    facts = {"EXCHANGER": HOST, "DOMAIN": DOMAIN, "SELECTOR": SELECTOR, "KEY": KEY.read_text()}
    child = subprocess.Popen(["python3", "/opt/world/kit/mail_checks.py"], env={**os.environ, **facts})
    threading.Thread(target=lambda: os._exit(child.wait() or 1), daemon=True).start()


def main() -> None:
    """Add the address, publish the records, and run the milter and Postfix."""
    kit.take_address("9")
    publish_records()
    configure_postfix()
    start_milter()
    raise SystemExit(subprocess.run(["postfix", "start-fg"], check=False).returncode)


if __name__ == "__main__":
    main()
