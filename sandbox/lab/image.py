"""The images: a base of Debian, a host on it, world on the host; rebuilt only when what goes into them changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import names, secrets, services
from .shell import Failed, progress, run, say, stage, succeeds

MIRROR = os.environ.get("VISE_DEBIAN_MIRROR", "http://deb.debian.org/debian")
INCLUDE = "ca-certificates,debian-archive-keyring,systemd,systemd-sysv"


def label_of(image: str) -> str:
    """The hash of the inputs that an image was built from; empty when there is no such image."""
    try:
        return run("docker", "image", "inspect", "-f", names.INPUTS_OF, image)
    except Failed:
        return ""


def fingerprint(parts: list[bytes]) -> str:
    """One hash over all inputs."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def tree(folder: Path) -> list[bytes]:
    """Names and contents of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [part for path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]


def _pulled() -> bool:
    """Debian's image from a registry, where one answers within seconds."""
    try:
        subprocess.run(["docker", "pull", "-q", f"debian:{names.SUITE}"], capture_output=True, timeout=60, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return succeeds("docker", "tag", f"debian:{names.SUITE}", names.BASE_IMAGE)


def _debootstrap() -> None:
    script = Path("/usr/share/debootstrap/scripts") / names.SUITE
    root = Path(tempfile.mkdtemp(prefix="vise-base-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    try:
        progress(
            f"debootstrap {names.SUITE} from {MIRROR}",
            # An older debootstrap does not know the suite; sid's script is the same one.
            [
                *(*sudo, "debootstrap", "--variant=minbase", f"--include={INCLUDE}", names.SUITE, str(root), MIRROR),
                *([] if script.exists() else ["/usr/share/debootstrap/scripts/sid"]),
            ],
        )
        with stage(f"importing {names.BASE_IMAGE}"):
            packed = subprocess.Popen([*sudo, "tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
            subprocess.run(
                ["docker", "import", "-", names.BASE_IMAGE], stdin=packed.stdout, stdout=subprocess.DEVNULL, check=True
            )
            if packed.wait() != 0:
                raise Failed(f"tar of {root}: exit {packed.returncode}")
    finally:
        subprocess.run([*sudo, "rm", "-rf", "--one-file-system", str(root)], check=True)


def base() -> None:
    """Debian itself: made once; what is newer in Debian comes with the host image's upgrade."""
    if succeeds("docker", "image", "inspect", names.BASE_IMAGE):
        return
    if not _pulled():
        say("no container registry answers: debootstrap instead")
        _debootstrap()


def build(image: str, folder: Path, inputs: str, extra: dict[str, Path], packages: str = "") -> None:
    """Build an image from a folder and a few files of .cache, with the hash of its inputs as a label."""
    with tempfile.TemporaryDirectory(prefix="vise-image-") as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(folder, context, ignore=shutil.ignore_patterns("__pycache__"))
        for name, source in extra.items():
            shutil.copy(source, context / name)
        progress(
            f"building {image}",
            [
                *("docker", "build", "--force-rm", "--label", f"{names.INPUTS}={inputs}", "-t", image),
                *(["--build-arg", f"PACKAGES={packages}"] if packages else []),
                str(context),
            ],
        )
    # The one that it replaces is of no use any more, and large.
    run("docker", "image", "prune", "--force", "--filter", f"label={names.INPUTS}")


def host() -> str:
    """The host image; every week anew, so that its package lists stay usable. Returns its hash."""
    extra = {"authorized_keys": names.SSH_KEY.with_suffix(".pub"), "ca.crt": names.CA_CERT}
    week = time.strftime("%G-%V").encode()
    inputs = fingerprint([week, *tree(names.SANDBOX / "host"), *(path.read_bytes() for path in extra.values())])
    if label_of(names.HOST_IMAGE) != inputs:
        base()
        build(names.HOST_IMAGE, names.SANDBOX / "host", inputs, extra)
    return inputs


def programs() -> dict[str, Path]:
    """The programs that no Debian package brings, installed from their lock file."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = str(names.ROOT / "scripts" / "environment.sh")
    relative = [str(path.relative_to(names.ROOT)) for path in (names.WORLD_PROGRAMS, names.WORLD_LOCK)]
    progress(f"installing {relative[1]}", [script, *relative, version])
    return {"rclone": names.WORLD_PROGRAMS / "bin" / "rclone"}


def world(below: str) -> None:
    """The image of world, from the packages that its services name."""
    packages = " ".join(sorted({package for service in services.every() for package in service.packages}))
    inputs = fingerprint([below.encode(), names.WORLD_LOCK.read_bytes(), *tree(names.SANDBOX / "world")])
    if label_of(names.WORLD_IMAGE) != inputs:
        build(names.WORLD_IMAGE, names.SANDBOX / "world", inputs, programs(), packages)


def up() -> None:
    """All images."""
    secrets.make()
    world(host())
