"""Names, paths and addresses of the sandbox; constants only."""

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
# Written by tools/make_secrets.py, which reads the files above.
SECRETS = ROOT / "inventories" / "development" / "group_vars"

SUITE = "trixie"
BASE_IMAGE = f"vise/base:{SUITE}"
HOST_IMAGE = f"vise/host:{SUITE}"
WORLD_IMAGE = f"vise/world:{SUITE}"

# Locked PyPI packages for world, installed into their own environment; the image copies their programs.
WORLD_LOCK = ROOT / "requirements" / "world.txt"
WORLD_PROGRAMS = ROOT / ".cache" / "world"

NETWORK = "vise"
BRIDGE = "br-vise"
SUBNET4 = "172.30.0.0/24"
SUBNET6 = "fd30::/64"
# Range for containers without a fixed address, separate from the fixed addresses.
DYNAMIC4 = "172.30.0.128/25"
GATEWAY4 = "172.30.0.1"
GATEWAY6 = "fd30::1"

WORLD = "world"
WORLD4 = "172.30.0.2"
WORLD6 = "fd30::2"
APT_VOLUME = "vise-apt"
ZONE = "vln.test"

# Label of every built image with the hash of its inputs, and the format that `docker inspect` needs to print it.
INPUTS = "vise.inputs"
INPUTS_OF = f'{{{{ index .Config.Labels "{INPUTS}" }}}}'

# Label of every container and volume of the sandbox, by which `down` finds them.
LABEL = "vise.sandbox=true"
