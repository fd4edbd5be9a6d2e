"""The fake of mailcow-dockerized: its image and its repository, published in world's registry and forge."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import image, names
from .shell import SandboxError, run, succeeds, timed_stage

FOLDER = names.SANDBOX / "mailcow"
IMAGE = f"vise/mailcow:{names.SUITE}"
REPOSITORY = "mailcow/stand-in"
MARK = "__RELEASE__"
# Files in world with the hash of the inputs that are published.
STATE = "/var/lib/world/forge"
# Oldest first, named as tags of the real project. The first is older than the lowest safe release. The last does not
# exist in the real project and is broken. A folder in `releases` replaces files of the repository for its release.
RELEASES = ("2026-01", "2026-03b", "2026-07a", "2026-09")
EPOCH = 1767225600


def list_files(release: str) -> dict[str, Path]:
    """Return the repository's files at a release; files of the release replace common ones."""
    files: dict[str, Path] = {}
    for folder in (FOLDER / "repository", FOLDER / "releases" / release):
        paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
        files |= {str(path.relative_to(folder)): path for path in paths}
    return dict(sorted(files.items()))


def build_commits() -> Iterator[bytes]:
    """Yield the repository in the format of `git fast-import`; the same files give the same commits."""
    for number, release in enumerate(RELEASES):
        committer = f"The sandbox <sandbox@vln.test> {EPOCH + number * 86400} +0000\n"
        message = f"Release {release}\n"
        head = f"commit refs/heads/master\ncommitter {committer}data {len(message)}\n{message}deleteall\n"
        yield head.encode()
        for name, path in list_files(release).items():
            link = path.is_symlink()
            mode = "120000" if link else "100755" if path.stat().st_mode & 0o100 else "100644"
            raw = str(path.readlink()).encode() if link else path.read_bytes().replace(MARK.encode(), release.encode())
            yield f"M {mode} inline {name}\ndata {len(raw)}\n".encode() + raw + b"\n"
        yield f"\nreset refs/tags/{release}\nfrom refs/heads/master\n\n".encode()


def build_image() -> str:
    """Build the image if its inputs have changed; return their hash."""
    host = names.SANDBOX / "host"
    extra = {name: host / name for name in ("dpkg.conf", "debian.sources")} | {"ca.crt": names.CA_CERT}
    inputs = image.fingerprint([*image.read_tree(FOLDER / "image"), *(path.read_bytes() for path in extra.values())])
    if image.read_inputs(IMAGE) != inputs:
        image.ensure_base()
        image.build_image(IMAGE, FOLDER / "image", inputs, extra)
    return inputs


def _push_images() -> None:
    """Push one image per release; they differ only in a label, so their digests differ and their layers do not."""
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
    completed = subprocess.run(argv, stdin=saved.stdout, capture_output=True, text=True, check=False)
    if saved.wait() != 0 or completed.returncode != 0:
        raise SandboxError(f"pushing {IMAGE} to world's registry failed: {completed.stderr}")
    run("docker", "image", "rm", *tags.values())


def _seed_repository() -> None:
    """Create the repository in world's forge again."""
    folder = "/var/lib/world/git/mailcow-dockerized"
    script = (
        f"rm -rf {folder} && git init -q --bare --initial-branch=master {folder} && cd {folder} &&"
        " git fast-import --quiet --date-format=raw && git config uploadpack.allowAnySHA1InWant true"
    )
    argv = ["docker", "exec", "--interactive", names.WORLD, "sh", "-c", script]
    completed = subprocess.run(argv, input=b"".join(build_commits()), capture_output=True, check=False)
    if completed.returncode != 0:
        raise SandboxError(f"git fast-import in world failed: {completed.stderr.decode()}")


def publish() -> None:
    """Publish the images and the repository if they have changed; an unchanged image keeps its digest."""
    wanted = (
        (REPOSITORY, image.read_inputs(IMAGE), _push_images),
        ("mailcow-dockerized", image.fingerprint(list(build_commits())), _seed_repository),
    )
    for name, inputs, publish_it in wanted:
        state = f"{STATE}.{Path(name).name}"
        if succeeds("docker", "exec", names.WORLD, "grep", "-qx", inputs, state):
            continue
        with timed_stage(f"publishing {name}"):
            publish_it()
            run("docker", "exec", names.WORLD, "sh", "-c", f"echo {inputs} >{state}")
