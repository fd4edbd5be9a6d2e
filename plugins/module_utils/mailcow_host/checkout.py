# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mailcow's checkout: who has made it, and the switch to another release."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from ..host import files
from .changes import find_changes, write_tree
from .commands import execute, run
from .repository import git, head, nearest_release, resolve
from .settings import Problem, Settings

# The commit that this program has checked out. Any other HEAD was checked out by somebody else.
INSTALLED = "refs/vise/installed"
ADVICE = (
    "Nothing was changed. To take this mailcow over, set mailcow_directory to its directory, mailcow_version to its "
    "release and the passwords to those of its mailcow.conf, and run mail.yml once with -e mailcow_adopt=true; the run "
    "makes a snapshot first. To start clean, run `docker compose down --volumes` in its directory, which deletes all "
    "mail, and remove the directory"
)
# The switch to a release that has begun, in the directory .git.
PENDING = "vise-switch.json"


def is_foreign(config: Settings) -> bool:
    """Return whether somebody else has checked out what is in the directory."""
    now = head(config)
    return bool(now) and now != resolve(config, INSTALLED)


def require_own(config: Settings, project: str) -> None:
    """Fail if this host has a mailcow that this program did not install, or whose release was changed by hand."""
    problem = describe_foreign(config, project)
    if problem:
        raise Problem(f"{problem}. {ADVICE}")


def describe_foreign(config: Settings, project: str) -> str:
    """Describe the mailcow that this program did not install; an empty text if there is none."""
    if is_foreign(config):
        of = nearest_release(config) or "an unknown release"
        names = ", ".join(change.path for change in find_changes(config)) or "none"
        return (
            f"{config.directory} contains a mailcow that this role did not check out: commit {head(config)[:12]} of "
            f"{of}; changed files: {names}"
        )
    # Without Docker there are no volumes. Check mode on a new host comes here before Docker is installed.
    if head(config) or not shutil.which("docker"):
        return ""
    label = f"label=com.docker.compose.project={project}"
    volumes = run(["docker", "volume", "ls", "--quiet", "--filter", label]).split()
    where = '{{.Label "com.docker.compose.project.working_dir"}}'
    directories = set(run(["docker", "ps", "--all", "--filter", label, "--format", where]).split())
    if not volumes and not directories:
        return ""
    return f"{config.directory} contains no mailcow, but Docker has {len(volumes)} volumes of the project {project}" + (
        f", which was started in {', '.join(sorted(directories))}" if directories else ""
    )


def switch(config: Settings, revision: str) -> None:
    """Check out a release and keep the changes of this host. After a kill at any time, run it again."""
    pending = config.directory / ".git" / PENDING
    note = files.read_json(str(pending), {})
    if note.get("revision") != revision:
        paths = [config.directory / change.path for change in find_changes(config)]
        access = {
            str(path): (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) for path in paths if path.is_file()
        }
        note = {"revision": revision, "tree": write_tree(config, revision), "access": access}
        # Written first: if this run is killed, some files are of the new release, and the next run completes it
        files.write_json(str(pending), note)
    else:
        files.remove_file(str(config.directory / ".git/index.lock"))
    git(config, "read-tree", "--reset", "-u", note["tree"])
    for name, (uid, gid, mode) in note["access"].items():
        if Path(name).is_file():
            # A container may be the owner of a file that it writes
            os.chown(name, uid, gid)
            Path(name).chmod(stat.S_IMODE(mode))
    record(config, revision)
    files.remove_file(str(pending))


def record(config: Settings, revision: str) -> None:
    """Record a revision as checked out by this program; the files are not changed."""
    commands = f"option no-deref\nupdate HEAD {revision}\nupdate {INSTALLED} {revision}\n"
    git(config, "update-ref", "--stdin", stdin=commands)
    # The changes are changes of the files only, as an administrator would see them in git status
    git(config, "read-tree", revision)
    execute(["git", "-C", str(config.directory), "update-index", "-q", "--refresh"])
