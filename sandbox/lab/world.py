"""World: the container that simulates the internet outside the platform's hosts."""

from __future__ import annotations

import ipaddress
import re
from functools import partial

from . import definition, image, names, network, scenarios, services
from .services import Service
from .shell import SandboxError, log, run, succeeds, timed_stage, wait_for


def succeeds_inside(script: str) -> bool:
    """Return whether a shell command succeeds in world."""
    return succeeds("docker", "exec", names.WORLD, "sh", "-c", script)


def _is_current() -> bool:
    """Return whether world runs from the current image."""
    if not succeeds("docker", "container", "inspect", names.WORLD):
        return False
    form = "{{ .State.Running }} " + names.INPUTS_OF
    state = run("docker", "container", "inspect", "-f", form, names.WORLD)
    return state == f"true {image.read_inputs(names.WORLD_IMAGE)}"


def _create() -> None:
    succeeds("docker", "rm", "--force", "--volumes", names.WORLD)
    succeeds("docker", "volume", "create", "--label", names.LABEL, names.APT_VOLUME)
    run(
        *("docker", "run", "--detach", "--name", names.WORLD, "--hostname", names.WORLD),
        *("--restart", "unless-stopped", "--label", names.LABEL, "--shm-size", "512m"),
        *("--network", names.NETWORK, "--ip", names.WORLD4, "--ip6", names.WORLD6, *definition.docker_arguments()),
        *("--volume", f"{names.CACHE}:/opt/shared:ro", "--volume", f"{names.APT_VOLUME}:/var/cache/world-apt"),
        names.WORLD_IMAGE,
    )


def wait_until_ready(wanted: list[Service]) -> None:
    """Wait until the `ready` commands of each service succeed."""
    for service in wanted:
        for command in service.ready:
            wait_for(f"world's service {service.name} (`{command}`)", partial(succeeds_inside, command), 60)


def start() -> None:
    """Start world from the current image and wait until its services are ready."""
    network.create()
    scenarios.forget_missing_hosts()
    if not _is_current():
        with timed_stage("starting world"):
            _create()
            wait_until_ready(services.load_all())
        return
    wait_until_ready(services.load_all())


def build_reject_rules(table: str, service: Service, client: str) -> str:
    """Return nftables rules that reject connections to a service, including established ones.

    The service keeps running, because a restarted pebble would lose its accounts, unlike a real CA after an outage.
    """
    rules = [
        f"{family} daddr {prefix}{service.address} {f'{family} saddr {client} ' if client else ''}"
        f"tcp dport {{ {', '.join(service.ports)} }} reject with tcp reset"
        for family, prefix in (("ip", "172.30.0."), ("ip6", "fd30::"))
        if not client or (":" in client) == (family == "ip6")
    ]
    chain = "type filter hook input priority -10;"
    return "\n".join([f"table inet {table} {{ chain input {{", chain, *rules, "}", "}", ""])


def _set_fault(service: Service, mode: str, client: str) -> None:
    """Set one fault for one client, or for all clients; it replaces the previous fault."""
    table = re.sub(r"\W", "_", f"fault_{service.name}_{client or 'all'}")
    file = f"/run/world/{service.name}@{client or 'all'}"
    # Written by renaming, because the service may read it at any time.
    write = f"mkdir -p /run/world && cat >{file}.new && mv {file}.new {file}"
    script = f"nft delete table inet {table} 2>/dev/null; {f'rm -f {file}' if mode == 'none' else write}"
    run("docker", "exec", "--interactive", names.WORLD, "sh", "-c", script, text=mode)
    if mode == "outage":
        rules = build_reject_rules(table, service, client)
        run("docker", "exec", "--interactive", names.WORLD, "nft", "-f", "-", text=rules)


def set_fault(name: str, mode: str, clients: list[str]) -> None:
    """Make a service fail in one way (`outage` or a fault that its file lists), or work again (`none`)."""
    known = {each.name: each for each in services.load_all() if each.ports}
    if name not in known:
        raise SandboxError(f"world has no service {name} with ports; its services are {', '.join(known)}")
    modes = ("none", "outage", *known[name].faults)
    # `500@3`, for a service that counts requests: fail only at the third request from now.
    kind = re.sub(r"@[1-9][0-9]*$", "", mode)
    if kind not in (modes if kind == mode else known[name].counted):
        raise SandboxError(f"{name} has no fault {mode}; its faults are {', '.join(modes)}")
    try:
        addresses = [str(ipaddress.ip_address(client)) for client in clients] or [""]
    except ValueError as problem:
        raise SandboxError(str(problem)) from problem
    for client in addresses:
        _set_fault(known[name], mode, client)
    if mode == "none":
        wait_until_ready([known[name]])


def set_dns(name: str, kind: str, values: list[str]) -> None:
    """Replace all values of a name and type in the zone; without values, remove them."""
    full = f"{names.ZONE}." if name == "@" else f"{name}.{names.ZONE}."
    lines = [f"update delete {full} {kind}", *(f"update add {full} 1 {kind} {value}" for value in values)]
    text = "\n".join([f"zone {names.ZONE}", *lines, "send", ""])
    run("docker", "exec", "--interactive", names.WORLD, "nsupdate", "-l", text=text)


def set_ptr(address: str, name: str) -> None:
    """Set the PTR record of an address, as the provider of a server does; an empty name removes it."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    lines = [f"update delete {pointer}. PTR", *([f"update add {pointer}. 1 PTR {name}."] if name else [])]
    run("docker", "exec", "--interactive", names.WORLD, "nsupdate", "-l", text="\n".join([*lines, "send", ""]))


def point_names(address4: str, address6: str, hosts: list[str]) -> None:
    """Set the A and AAAA records of names in the zone to the addresses of a host."""
    for host in hosts:
        set_dns(host, "A", [address4])
        set_dns(host, "AAAA", [address6])


def print_status() -> None:
    """Print the containers, and whether each service of world is ready."""
    form = "{{.Names}}\t{{.Status}}"
    log("containers:\n" + run("docker", "ps", "--all", "--filter", f"label={names.LABEL}", "--format", form))
    for service in services.load_all():
        ready = all(succeeds_inside(command) for command in service.ready)
        log(f"{service.name}: {'ready' if ready else 'NOT READY'} ({service.summary})")
