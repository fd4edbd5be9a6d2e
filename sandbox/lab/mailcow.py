"""The stand-in for mailcow-dockerized: its image and its repository, published by world's forge."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import image, names
from .shell import Failed, run, stage, succeeds

FOLDER = names.SANDBOX / "mailcow"
IMAGE = f"vise/mailcow:{names.SUITE}"
REPOSITORY = "mailcow/stand-in"
MARK = "__RELEASE__"
# What is published already: the inputs, written where the forge keeps what it serves.
STATE = "/var/lib/world/forge"
# Oldest first, as tags of the real project. The first is older than the safe floor; the last, which the real project
# has not, is broken: folders of `releases` replace files of the repository from that release on.
RELEASES = ("2026-01", "2026-03b", "2026-07a", "2026-09")
EPOCH = 1767225600


def files(release: str) -> dict[str, Path]:
    """The repository's files at a release, its own ones in the place of the others."""
    found: dict[str, Path] = {}
    for folder in (FOLDER / "repository", FOLDER / "releases" / release):
        paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
        found |= {str(path.relative_to(folder)): path for path in paths}
    return dict(sorted(found.items()))


def commits() -> Iterator[bytes]:
    """The repository as `git fast-import` reads it; the same files give the same commits."""
    for number, release in enumerate(RELEASES):
        who = f"The sandbox <sandbox@vln.test> {EPOCH + number * 86400} +0000\n"
        message = f"Release {release}\n"
        head = f"commit refs/heads/master\ncommitter {who}data {len(message)}\n{message}deleteall\n"
        yield head.encode()
        for name, path in files(release).items():
            link = path.is_symlink()
            mode = "120000" if link else "100755" if path.stat().st_mode & 0o100 else "100644"
            raw = str(path.readlink()).encode() if link else path.read_bytes().replace(MARK.encode(), release.encode())
            yield f"M {mode} inline {name}\ndata {len(raw)}\n".encode() + raw + b"\n"
        yield f"\nreset refs/tags/{release}\nfrom refs/heads/master\n\n".encode()


def build() -> str:
    """The image, when something that goes into it has changed; returns the hash of its inputs."""
    host = names.SANDBOX / "host"
    extra = {name: host / name for name in ("dpkg.conf", "debian.sources")} | {"ca.crt": names.CA_CERT}
    inputs = image.fingerprint([*image.tree(FOLDER / "image"), *(path.read_bytes() for path in extra.values())])
    if image.label_of(IMAGE) != inputs:
        image.base()
        image.build(IMAGE, FOLDER / "image", inputs, extra)
    return inputs


def _push() -> None:
    """One image a release, which differ in a label alone: their digests differ, their layers do not."""
    tags = {release: f"{IMAGE}-{release}" for release in RELEASES}
    for release, tag in tags.items():
        text = f"FROM {IMAGE}\nLABEL org.opencontainers.image.version={release}\n"
        argv = ["docker", "build", "--quiet", "--tag", tag, "-"]
        subprocess.run(argv, input=text, text=True, capture_output=True, check=True)
    archive = "/var/tmp/mailcow.tar"
    copies = [
        f"skopeo --insecure-policy copy --quiet --dest-tls-verify=false docker-archive:{archive}:{tag}"
        f" docker://127.0.0.1:5000/{REPOSITORY}:{release}"
        for release, tag in tags.items()
    ]
    saved = subprocess.Popen(["docker", "save", *tags.values()], stdout=subprocess.PIPE)
    script = f"trap 'rm -f {archive}' EXIT; set -e; cat >{archive}; {'; '.join(copies)}"
    argv = ["docker", "exec", "--interactive", names.WORLD, "sh", "-c", script]
    done = subprocess.run(argv, stdin=saved.stdout, capture_output=True, text=True, check=False)
    if saved.wait() != 0 or done.returncode != 0:
        raise Failed(f"pushing {IMAGE}: {done.stderr}")
    run("docker", "image", "rm", *tags.values())


def _seed() -> None:
    """The repository, anew."""
    folder = "/var/lib/world/git/mailcow-dockerized"
    script = (
        f"rm -rf {folder} && git init -q --bare --initial-branch=master {folder} && cd {folder} &&"
        " git fast-import --quiet --date-format=raw && git config uploadpack.allowAnySHA1InWant true"
    )
    argv = ["docker", "exec", "--interactive", names.WORLD, "sh", "-c", script]
    done = subprocess.run(argv, input=b"".join(commits()), capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed(f"git fast-import: {done.stderr.decode()}")


def publish() -> None:
    """Have the forge serve the image and the repository as they are here; an image that is there keeps its digest."""
    wanted = (
        (REPOSITORY, image.label_of(IMAGE), _push),
        ("mailcow-dockerized", image.fingerprint(list(commits())), _seed),
    )
    for what, inputs, act in wanted:
        state = f"{STATE}.{Path(what).name}"
        if succeeds("docker", "exec", names.WORLD, "grep", "-qx", inputs, state):
            continue
        with stage(f"publishing {what}"):
            act()
            run("docker", "exec", names.WORLD, "sh", "-c", f"echo {inputs} >{state}")
