"""Damage objects in the sandbox's repositories, or repair them: damage.py PLACE mend | PLACE KIND STORE:DAMAGE..."""

from __future__ import annotations

import pathlib
import shutil
import sys

place, kind, *damages = sys.argv[1:]
aside = pathlib.Path("/var/tmp") / ("damage" + place.replace("/", "-"))


def segments(root: pathlib.Path) -> list[pathlib.Path]:
    """Return the segments of the archive, oldest first."""
    return sorted((root / "archive").rglob("0000000*-*"), key=lambda path: path.name)


def objects(root: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """Return the objects of a kind: of backups all, of the archive its last segment."""
    if kind == "wal":
        return segments(root)[-1:]
    if kind == "manifest":
        return sorted((root / "backup/main").glob("2*/backup.manifest*"))
    return sorted((root / "backup/main").glob("2*/bundle/*")) + sorted(
        (root / "backup/main").glob("2*/pg_data/**/*.zst")
    )


if kind == "mend":
    for kept in aside.rglob("*"):
        if kept.is_file():
            shutil.copyfile(kept, "/" / kept.relative_to(aside))
    shutil.rmtree(aside, ignore_errors=True)
    sys.exit()
count = 0
for letter, change in (damage.split(":") for damage in damages):
    root = pathlib.Path(f"/var/lib/world/s3-{letter}/vise-backups{place}")
    for path in objects(root, kind):
        kept = aside / path.relative_to("/")
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        data = path.read_bytes()
        middle = len(data) // 2
        if change == "delete":
            path.unlink()
        elif change == "swap":
            # The content of the segment before it.
            path.write_bytes(segments(root)[-2].read_bytes())
        else:
            tail = b"" if change == "truncate" else bytes([data[middle] ^ 1]) + data[middle + 1 :]
            path.write_bytes(data[:middle] + tail)
        count += 1
print(count)
