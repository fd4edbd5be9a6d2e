# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The running images by digest, in the form of the role's variable mailcow_images."""

from __future__ import annotations

import json
import typing as t

from . import stack
from .commands import execute, run
from .settings import Problem, Settings

# Prefixes of Docker Hub, which Docker omits in the names of repositories.
HUB = ("docker.io/library/", "docker.io/")
SERVICE = 'index .Config.Labels "com.docker.compose.service"'


def strip_tag(reference: str) -> str:
    """Return an image's repository as Docker names it, without the tag."""
    path, slash, name = reference.rpartition("/")
    full = f"{path}{slash}{name.partition(':')[0]}"
    return next((full.removeprefix(hub) for hub in HUB if full.startswith(hub)), full)


def add_digest(reference: str, known: t.Sequence[str]) -> str:
    """Return an image with its digest, selected from all digests of the image in Docker; an empty text without one."""
    if "@" in reference:
        return reference
    of_repository = (one.partition("@") for one in sorted(known))
    digests = [digest for name, _at, digest in of_repository if name == strip_tag(reference)]
    return f"{reference}@{digests[0]}" if digests else ""


def running_digests(config: Settings) -> dict[str, list[str]]:
    """Return the digests, with their repositories, of the image of each service's container."""
    containers = stack.compose(config, "ps", "--quiet").split()
    lines = run(["docker", "inspect", "--format", f"{{{{{SERVICE}}}}} {{{{.Image}}}}", *containers]).splitlines()
    images = dict(line.split() for line in lines)
    known = {
        image: run(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image])
        for image in set(images.values())
    }
    return {service: json.loads(known[image]) or [] for service, image in images.items()}


def digests(config: Settings) -> str:
    """Return the images of all services as YAML for mailcow_images; fail unless mailcow runs as configured."""
    down = stack.plan(config)
    if down:
        raise Problem(
            f"mailcow {config.version} does not run as configured ({', '.join(down)}): run `vise-mailcow up` first"
        )
    services = json.loads(stack.compose(config, "config", "--format", "json"))["services"]
    known = running_digests(config)
    images = {name: add_digest(service["image"], known[name]) for name, service in sorted(services.items())}
    without = [f"{name} ({services[name]['image']})" for name, image in images.items() if not image]
    if without:
        raise Problem(
            f"no digest from a registry for {', '.join(without)}: the image was built or loaded on this host. "
            "Pull the images from their registry, then run `vise-mailcow up`"
        )
    return "\n".join([f"  # of {config.version}", *(f"  {name}: {image}" for name, image in images.items())])


def of_project(config: Settings) -> list[str]:
    """Return the images of the project's containers, running or not."""
    name = stack.read_conf(config)["COMPOSE_PROJECT_NAME"]
    label = f"label=com.docker.compose.project={name}"
    containers = run(["docker", "ps", "--all", "--quiet", "--filter", label]).split()
    found = run(["docker", "inspect", "--format", "{{.Image}}", *containers]).split() if containers else []
    return sorted(set(found))


def remove_old(old: t.Sequence[str]) -> list[str]:
    """Remove images that no container uses any more; return those that were removed."""
    containers = run(["docker", "ps", "--all", "--quiet"]).split()
    used = run(["docker", "inspect", "--format", "{{.Image}}", *containers]).split() if containers else []
    # An image that another program needs stays: Docker refuses to remove it
    unused = [image for image in old if image not in used]
    return [image for image in unused if not execute(["docker", "image", "rm", "--force", image]).failed]
