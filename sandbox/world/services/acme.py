"""An ACME certificate authority: pebble, which validates with the sandbox's DNS.

packages: pebble libnss3-tools
names: acme.vln.test
ports: 14000 15000
ready: curl -fsS -o /dev/null https://acme.vln.test:14000/dir
ready: test -s /var/lib/world/acme-root.crt
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import kit

ROOT = kit.STATE / "acme-root.crt"
TRUSTED = Path("/usr/local/share/ca-certificates/acme-root.crt")
BROWSER = Path("/root/.pki/nssdb")


def trust_root() -> None:
    """Make the clients in world trust pebble's root certificate, which is new at each start."""
    url = "https://acme.vln.test:15000/roots/0"
    resolve = f"acme.vln.test:15000:{kit.WORLD4}"
    TRUSTED.write_text(kit.run("curl", "-fsS", "--resolve", resolve, url))
    kit.run("update-ca-certificates", "--fresh")
    BROWSER.mkdir(parents=True, exist_ok=True)
    database = f"sql:{BROWSER}"
    if not (BROWSER / "cert9.db").exists():
        kit.run("certutil", "-d", database, "-N", "--empty-password")
    for name, file in (("acme", TRUSTED), ("sandbox", kit.SHARED / "ca.crt")):
        subprocess.run(["certutil", "-d", database, "-D", "-n", name], capture_output=True, check=False)
        kit.run("certutil", "-d", database, "-A", "-t", "C,,", "-n", name, "-i", str(file))
    ROOT.write_text(TRUSTED.read_text())


def main() -> int:
    """Run pebble, and trust its root certificate as soon as it is available."""
    ROOT.unlink(missing_ok=True)
    cert, key = kit.issue_certificate("acme.vln.test", "localhost", kit.WORLD4, kit.WORLD6)
    config = kit.STATE / "pebble.json"
    settings = {
        "listenAddress": "[::]:14000",
        "managementListenAddress": "[::]:15000",
        "certificate": str(cert),
        "privateKey": str(key),
        "httpPort": 80,
        "tlsPort": 443,
        "certificateValidityPeriod": 90 * 86400,
    }
    config.write_text(json.dumps({"pebble": settings}))
    # By default pebble waits up to 15 s for each validation and rejects 5 % of the nonces, to test ACME clients.
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    # World's DNS by address, so that each validation queries it.
    argv = ["pebble", "-config", str(config), "-dnsserver", f"{kit.WORLD4}:53"]
    child = subprocess.Popen(argv, env=environment)
    for _ in range(50):
        try:
            trust_root()
            break
        except RuntimeError as problem:
            print(problem, file=sys.stderr)
            time.sleep(0.2)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
