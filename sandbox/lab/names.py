"""What the sandbox is called and where it lies; nothing here does anything."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "sandbox"
CACHE = ROOT / ".cache" / "sandbox"

SSH_KEY = CACHE / "id_ed25519"
CA_KEY = CACHE / "ca.key"
CA_CERT = CACHE / "ca.crt"
CLOUDFLARE_TOKEN = CACHE / "cloudflare.token"
CLOUDFLARE_TOKENS = CACHE / "cloudflare.json"
S3 = CACHE / "s3.json"
# Written by tools/make_secrets.py from the above.
SECRETS = ROOT / "inventories" / "development" / "group_vars"

SUITE = "trixie"
BASE_IMAGE = f"vise/base:{SUITE}"
HOST_IMAGE = f"vise/host:{SUITE}"
WORLD_IMAGE = f"vise/world:{SUITE}"

# What world has from PyPI, locked; an environment of its own, from which the image takes the programs.
WORLD_LOCK = ROOT / "requirements" / "world.txt"
WORLD_PROGRAMS = ROOT / ".cache" / "world"

NETWORK = "vise"
BRIDGE = "br-vise"
SUBNET4 = "172.30.0.0/24"
SUBNET6 = "fd30::/64"
# Containers without an address of their own get one from here, out of the way of those that have.
DYNAMIC4 = "172.30.0.128/25"
GATEWAY4 = "172.30.0.1"
GATEWAY6 = "fd30::1"

WORLD = "world"
WORLD4 = "172.30.0.2"
WORLD6 = "fd30::2"
APT_VOLUME = "vise-apt"
ZONE = "vln.test"

# Every image that was built for it carries the hash of what went into it; in the words of docker inspect.
INPUTS = "vise.inputs"
INPUTS_OF = f'{{{{ index .Config.Labels "{INPUTS}" }}}}'

# Every container and volume of the sandbox carries it, so that `down` finds them.
LABEL = "vise.sandbox=true"
