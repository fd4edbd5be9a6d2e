"""The images: a base of Debian, the host image on top, world on top of that; rebuilt only when their inputs change."""

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
from .shell import SandboxError, log, run, run_with_progress, succeeds, timed_stage

MIRROR = os.environ.get("VISE_DEBIAN_MIRROR", "http://deb.debian.org/debian")
INCLUDE = "ca-certificates,debian-archive-keyring,systemd,systemd-sysv"


def read_inputs(image: str) -> str:
    """Return the hash of the inputs that an image was built from; '' when the image does not exist."""
    try:
        return run("docker", "image", "inspect", "-f", names.INPUTS_OF, image)
    except SandboxError:
        return ""


def fingerprint(parts: list[bytes]) -> str:
    """Return one hash over all inputs."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def read_tree(folder: Path) -> list[bytes]:
    """Return the names and contents of all files in a folder and its subfolders."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [part for path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]


def _pull_base() -> bool:
    """Pull Debian's image; return whether a registry provided it within 60 seconds."""
    try:
        subprocess.run(["docker", "pull", "-q", f"debian:{names.SUITE}"], capture_output=True, timeout=60, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return succeeds("docker", "tag", f"debian:{names.SUITE}", names.BASE_IMAGE)


def _debootstrap_base() -> None:
    script = Path("/usr/share/debootstrap/scripts") / names.SUITE
    root = Path(tempfile.mkdtemp(prefix="vise-base-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    try:
        run_with_progress(
            f"debootstrap {names.SUITE} from {MIRROR}",
            # An older debootstrap has no script for the suite; the one of sid is identical.
            [
                *(*sudo, "debootstrap", "--variant=minbase", f"--include={INCLUDE}", names.SUITE, str(root), MIRROR),
                *([] if script.exists() else ["/usr/share/debootstrap/scripts/sid"]),
            ],
        )
        with timed_stage(f"importing {names.BASE_IMAGE}"):
            archive = subprocess.Popen([*sudo, "tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
            subprocess.run(
                ["docker", "import", "-", names.BASE_IMAGE], stdin=archive.stdout, stdout=subprocess.DEVNULL, check=True
            )
            if archive.wait() != 0:
                raise SandboxError(f"tar of {root} failed with exit code {archive.returncode}")
    finally:
        subprocess.run([*sudo, "rm", "-rf", "--one-file-system", str(root)], check=True)


def ensure_base() -> None:
    """Create the base image of Debian if it is missing; newer packages come with the upgrade in the host image."""
    if succeeds("docker", "image", "inspect", names.BASE_IMAGE):
        return
    if not _pull_base():
        log("no container registry is reachable, using debootstrap instead")
        _debootstrap_base()


def build_image(image: str, folder: Path, inputs: str, extra: dict[str, Path], packages: str = "") -> None:
    """Build an image from a folder and the extra files; the hash of its inputs becomes a label."""
    with tempfile.TemporaryDirectory(prefix="vise-image-") as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(folder, context, ignore=shutil.ignore_patterns("__pycache__"))
        for name, source in extra.items():
            shutil.copy(source, context / name)
        run_with_progress(
            f"building {image}",
            [
                *("docker", "build", "--force-rm", "--label", f"{names.INPUTS}={inputs}", "-t", image),
                *(["--build-arg", f"PACKAGES={packages}"] if packages else []),
                str(context),
            ],
        )
    # The replaced image is unused and large.
    run("docker", "image", "prune", "--force", "--filter", f"label={names.INPUTS}")


def build_host() -> str:
    """Build the host image, also once a week, so that its package lists stay usable; return the hash of its inputs."""
    extra = {"authorized_keys": names.SSH_KEY.with_suffix(".pub"), "ca.crt": names.CA_CERT}
    week = time.strftime("%G-%V").encode()
    inputs = fingerprint([week, *read_tree(names.SANDBOX / "host"), *(path.read_bytes() for path in extra.values())])
    if read_inputs(names.HOST_IMAGE) != inputs:
        ensure_base()
        build_image(names.HOST_IMAGE, names.SANDBOX / "host", inputs, extra)
    return inputs


def install_programs() -> dict[str, Path]:
    """Install the programs for world that are not in Debian from their lock file; return their paths."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = str(names.ROOT / "scripts" / "environment.sh")
    relative = [str(path.relative_to(names.ROOT)) for path in (names.WORLD_PROGRAMS, names.WORLD_LOCK)]
    run_with_progress(f"installing {relative[1]}", [script, *relative, version])
    return {"rclone": names.WORLD_PROGRAMS / "bin" / "rclone"}


def build_world(below: str) -> None:
    """Build the image of world with the packages that its services need; ``below`` is the hash of the host image."""
    packages = " ".join(sorted({package for service in services.load_all() for package in service.packages}))
    inputs = fingerprint([below.encode(), names.WORLD_LOCK.read_bytes(), *read_tree(names.SANDBOX / "world")])
    if read_inputs(names.WORLD_IMAGE) != inputs:
        build_image(names.WORLD_IMAGE, names.SANDBOX / "world", inputs, install_programs(), packages)


def build_all() -> None:
    """Create the secrets and build the images of hosts and of world."""
    secrets.create_all()
    build_world(build_host())
