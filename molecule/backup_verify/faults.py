"""Damage objects of one host in the stores, and repair them: faults.py HOST flip|delete STORE PATTERN [WHICH] | mend.

Of the objects that match, the last one by name is damaged, or the largest, or the last but one.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path("/var/lib/world")
CHOICES = {
    "last": lambda found: sorted(found)[-1],
    "largest": lambda found: max(found, key=lambda path: path.stat().st_size),
    "last-but-one": lambda found: sorted(found)[-2],
}


def main(host: str, verb: str, store: str = "", pattern: str = "", which: str = "last") -> None:
    """Damage one object, or repair all."""
    kept = ROOT / f"faults-{host}"
    if verb == "mend":
        shutil.copytree(kept, ROOT, dirs_exist_ok=True)
        shutil.rmtree(kept)
        return
    path = CHOICES[which]([path for path in (ROOT / store / "vise-backups" / host).glob(pattern) if path.is_file()])
    copy = kept / path.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)
    if verb == "delete":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    print(verb, path)


main(*sys.argv[1:])
