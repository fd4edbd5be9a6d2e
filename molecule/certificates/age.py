"""Put a certificate that ends in a quarter of an hour in the place of certbot's and of the one that is served."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, "/usr/local/lib/vise/certificates")
from vise_platform.tls import acme, store, x509

live = Path("/etc/letsencrypt/live/web")
names = sorted(x509.read_facts((live / "fullchain.pem").read_text()).names)
ca, ca_key = x509.make_ca("some other authority")
key = x509.make_key()
chain = x509.sign(x509.make_request(key, names), ca, ca_key, names, 0.01)
for file, text in ((store.CHAIN, chain), (store.KEY, key), ("cert.pem", chain), ("chain.pem", ca)):
    (live / file).write_text(text)
acme.deploy(store.Store("web"), {store.CHAIN: chain, store.KEY: key})
