# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mailcow's checkout: who has made it, and the switch to another release."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from ..host import files
from .changes import find_changes, find_flagged, write_tree
from .commands import execute, run
from .repository import git, head, nearest_release, remove_locks, resolve, set_executable
from .settings import Problem, Settings

# The commit that this program has checked out. Any other HEAD was checked out by somebody else.
INSTALLED = "refs/vise/installed"
ADVICE = (
    "Nothing was changed. To take this mailcow over, set mailcow_directory to its directory, mailcow_version to its "
    "release and the passwords to those of its mailcow.conf, and run mail.yml once with -e mailcow_adopt=true; the run "
    "makes a snapshot first. To start clean, run `docker compose down --volumes` in its directory, which deletes all "
    "mail, and remove the directory"
)
# A mailcow can have another name of its project, but not of its services.
POSTFIX = "label=com.docker.compose.service=postfix-mailcow"
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
    pending = config.directory / ".git" / PENDING
    if not head(config) and (config.directory / "docker-compose.yml").exists() and not pending.is_file():
        return f"{config.directory} contains a mailcow without a git repository that git can read"
    # Without Docker there are no volumes. Check mode on a new host comes here before Docker is installed.
    if head(config) or not shutil.which("docker"):
        return ""
    label = f"label=com.docker.compose.project={project}"
    volumes = run(["docker", "volume", "ls", "--quiet", "--filter", label]).split()
    directories = sorted({*find_directories(label), *find_directories(POSTFIX)})
    if not volumes and not directories:
        return ""
    return f"{config.directory} contains no mailcow, but Docker has {len(volumes)} volumes of the project {project}" + (
        f", and containers of a mailcow that was started in {', '.join(directories)}" if directories else ""
    )


def find_directories(label: str) -> set[str]:
    """Return the directories in which projects of Docker Compose with such containers were started."""
    where = '{{.Label "com.docker.compose.project.working_dir"}}'
    return set(run(["docker", "ps", "--all", "--filter", label, "--format", where]).splitlines())


def switch(config: Settings, revision: str) -> None:
    """Check out a release and keep the changes of this host. After a kill at any time, run it again."""
    pending = config.directory / ".git" / PENDING
    note = files.read_json(str(pending), {})
    if note.get("revision") != revision:
        paths = [config.directory / change.path for change in find_changes(config)]
        access = {
            str(path): (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode)
            for path in paths
            if path.is_file() and not path.is_symlink()
        }
        note = {"revision": revision, "tree": write_tree(config, revision), "access": access}
        # Written first: if this run is killed, some files are of the new release, and the next run completes it
        files.write_json(str(pending), note)
    else:
        files.remove_file(str(config.directory / ".git/index.lock"))
        remove_locks(config)
    clear_flags(config)
    git(config, "read-tree", "--reset", "-u", note["tree"])
    for name, (uid, gid, mode) in note["access"].items():
        path = Path(name)
        if path.is_file() and not path.is_symlink():
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            # A container may be the owner of a file that it writes
            os.chown(path, uid, gid)
            path.chmod(set_executable(stat.S_IMODE(mode), executable))
    record(config, revision)
    files.remove_file(str(pending))


def clear_flags(config: Settings) -> None:
    """Clear the flags by which git neither reports the change of a file nor writes the file."""
    names = find_flagged(config)
    for option in ("--no-assume-unchanged", "--no-skip-worktree"):
        for name in names:
            git(config, "update-index", option, "--", name)


def record(config: Settings, revision: str) -> None:
    """Record a revision as checked out by this program; the files are not changed."""
    commands = f"option no-deref\nupdate HEAD {revision}\nupdate {INSTALLED} {revision}\n"
    git(config, "update-ref", "--stdin", stdin=commands)
    # The changes are changes of the files only, as an administrator would see them in git status
    git(config, "read-tree", revision)
    execute(["git", "-C", str(config.directory), "update-index", "-q", "--refresh"])
