"""Write the Python packages of a company's repository, with the versions and hashes of this repository's lock file.

Usage: python -m tools.runtime_requirements
"""

from __future__ import annotations

import re

from tools.collection import ROOT

LOCK = ROOT / "requirements/controller.txt"
TEMPLATE = ROOT / "playbooks/templates/init/requirements.txt.j2"
# What running the platform needs, each with the reason; the rest of the lock file is for development.
PACKAGES = {
    "ansible-core": "Ansible",
    "cryptography": "secrets, certificates",
    "jsonschema": "validates the description",
    "cloudflare": "DNS records",
    "dnspython": "DNS records, and certificates by dns-01",
    "dkimpy": "verifies the signatures of mail",
}
HEAD = """\
# The Python packages that running the platform needs, with versions and hashes; `make setup` installs them into .venv.
# After an update of the collection, remove this file and run `make setup`, which writes that of the new version.
"""
NAME = re.compile(r"[A-Za-z0-9._-]+")


def read_entries(lock: str) -> list[str]:
    """Return the entries of a lock file, each with its hashes and comments."""
    return [entry for entry in re.split(r"^(?=\S)", lock, flags=re.MULTILINE) if NAME.match(entry)]


def find_parents(entry: str) -> set[str]:
    """Return the packages that need an entry."""
    comments = re.findall(r"^ +#(?: via)? +(\S.*)$", entry, flags=re.MULTILINE)
    return {name for name in comments if not name.startswith("-r ")}


def select(entries: list[str], packages: set[str]) -> list[str]:
    """Return the entries of packages, and of all that they need."""
    wanted: set[str] = set()
    found = set(packages)
    while found != wanted:
        wanted = found
        found = wanted | {name_entry(entry) for entry in entries if find_parents(entry) & wanted}
    return [entry for entry in entries if name_entry(entry) in wanted]


def name_entry(entry: str) -> str:
    """Return the name of the package of an entry."""
    match = NAME.match(entry)
    return match[0] if match else ""


def build(lock: str) -> str:
    """Return the file for a company."""
    reasons = "".join(f"#   {name}: {reason}\n" for name, reason in PACKAGES.items())
    lines = []
    for entry in select(read_entries(lock), set(PACKAGES)):
        lines += [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
    return HEAD + reasons + "\n".join(lines) + "\n"


def main() -> None:
    """Write the template."""
    text = build(LOCK.read_text())
    if not TEMPLATE.exists() or TEMPLATE.read_text() != text:
        TEMPLATE.write_text(text)
        print(f"{TEMPLATE.relative_to(ROOT)}: updated")


if __name__ == "__main__":
    main()
