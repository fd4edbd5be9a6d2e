"""Damage each kind of object of a repository in each way, and see who notices: the rotating read, and a restore.

Usage: damage.py HOST FOLDER DAYS; runs on the controller, prints what came of each as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

HOST, FOLDER, DAYS = sys.argv[1], f"/var/lib/world/s3-a/vise-backups/{sys.argv[2]}", int(sys.argv[3])
KEPT = f"/root/mended.{HOST}"
# The largest pack is of data that each snapshot has, the smallest of trees.
OBJECTS = {
    "data": "find data -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2",
    "tree": "find data -type f -printf '%s %p\\n' | sort -n | head -1 | cut -d' ' -f2",
    "index": "ls -d index/* | tail -1",
    "snapshot": "ls -t -d snapshots/* | head -1",
}
DAMAGES = {
    "flipped": "python3 -c \"import sys; f = open(sys.argv[1], 'r+b'); f.seek(0, 2); n = f.tell() // 2; f.seek(n); "
    'b = f.read(1)[0]; f.seek(n); f.write(bytes([b ^ 1]))" $object',
    "truncated": "truncate -s $(($(stat -c %s $object) / 2)) $object",
    "deleted": "rm $object",
}
# A day goes by: what is remembered of the reads is a day older.
DAY = """import json; p = '/var/lib/vise/restic/check@a.json'; d = json.load(open(p))
d['read'] = {k: v - 1 for k, v in d.get('read', {}).items()}; json.dump(d, open(p, 'w'))"""
# What was restored must be the whole tree, wherever it came from.
RESTORE = """set -e; rm -rf /root/out; vise-restic restore odd /root/out latest
python3 /srv/tree.py show /root/out/srv/odd | cmp - /root/wanted"""


def inside(container: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container."""
    return subprocess.run(
        ["docker", "exec", container, "sh", "-c", script], capture_output=True, text=True, check=False
    )


def world(script: str) -> str:
    """Run a script in the repository's folder; it must succeed."""
    done = inside("world", f"set -e; cd {FOLDER}; {script}")
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def day_of_detection() -> int:
    """Let the timer's unit run on each day of a cycle; return the day on which it fails, or 0."""
    inside(HOST, "rm -f /var/lib/vise/restic/check@a.json")
    for day in range(1, DAYS + 1):
        if inside(HOST, "systemctl start restic-check@a").returncode:
            return day
        inside(HOST, f'python3 -c "{DAY}"')
    return 0


def tried(kind: str, damage: str) -> dict[str, Any]:
    """Damage one object, see who notices, and mend it."""
    name = world(OBJECTS[kind])
    spoil = f"object={name}; cp -p $object {KEPT}; {DAMAGES[damage]}; if cmp -s $object {KEPT}; then exit 9; fi"
    # What rclone remembers of the disk is a second old at most.
    world(f"{spoil}; sleep 1.2")
    try:
        day = day_of_detection()
        restored = inside(HOST, RESTORE)
    finally:
        world(f"cp -p {KEPT} {name}; sleep 1.2")
    report = (
        json.loads(restored.stdout.splitlines()[0]) if not restored.returncode else {"error": restored.stderr[-500:]}
    )
    return {"object": kind, "damage": damage, "day": day, "restored_from": report.get("repository"), "said": report}


results = [tried(kind, damage) for kind in OBJECTS for damage in DAMAGES]
sound = day_of_detection() == 0
print(json.dumps({"results": results, "mended_is_sound": sound}))
