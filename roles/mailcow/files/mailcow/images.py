"""The images that run, by digest: what the role takes in place of tags."""

from __future__ import annotations

import json
import typing as t

from mailcow import stack
from mailcow.host import Problem, Settings, run

# Docker leaves them out where it tells a repository.
HUB = ("docker.io/library/", "docker.io/")
SERVICE = 'index .Config.Labels "com.docker.compose.service"'


def repository(reference: str) -> str:
    """Return an image's repository as Docker tells it, without its tag."""
    path, slash, name = reference.rpartition("/")
    full = f"{path}{slash}{name.partition(':')[0]}"
    return next((full.removeprefix(hub) for hub in HUB if full.startswith(hub)), full)


def with_digest(reference: str, known: t.Sequence[str]) -> str:
    """Return an image with its digest, given all digests that Docker knows of it; nothing where it has none."""
    if "@" in reference:
        return reference
    of_repository = (one.partition("@") for one in sorted(known))
    found = [digest for name, _at, digest in of_repository if name == repository(reference)]
    return f"{reference}@{found[0]}" if found else ""


def running(of: Settings) -> dict[str, list[str]]:
    """Return the digests, with repositories, of the image that each service's container runs."""
    containers = stack.compose(of, "ps", "--quiet").split()
    lines = run(["docker", "inspect", "--format", f"{{{{{SERVICE}}}}} {{{{.Image}}}}", *containers]).splitlines()
    images = dict(line.split() for line in lines)
    known = {
        image: run(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image])
        for image in set(images.values())
    }
    return {service: json.loads(known[image]) or [] for service, image in images.items()}


def digests(of: Settings) -> str:
    """Return the images of all services as YAML for mailcow_images; what runs must be what is wanted."""
    down = stack.plan(of)
    if down:
        raise Problem(f"mailcow {of.version} does not run as wanted ({', '.join(down)}): `vise-mailcow up` first")
    services = json.loads(stack.compose(of, "config", "--format", "json"))["services"]
    known = running(of)
    found = {name: with_digest(service["image"], known[name]) for name, service in sorted(services.items())}
    without = [f"{name} ({services[name]['image']})" for name, image in found.items() if not image]
    if without:
        raise Problem(
            f"no registry has told a digest of {', '.join(without)}: built or loaded on this host. "
            "Pull the images from their registry, then `vise-mailcow up`"
        )
    return "\n".join([f"  # of {of.version}", *(f"  {name}: {image}" for name, image in found.items())])
