"""World: the container that plays everything outside of the platform's hosts."""

from __future__ import annotations

import ipaddress
import re

from . import definition, image, names, network, scenarios, services
from .services import Service
from .shell import Failed, run, say, stage, succeeds, wait_for


def inside(script: str) -> bool:
    """Whether a shell command succeeds in world."""
    return succeeds("docker", "exec", names.WORLD, "sh", "-c", script)


def _current() -> bool:
    """Whether the world that runs was made from the image that is there."""
    if not succeeds("docker", "container", "inspect", names.WORLD):
        return False
    form = "{{ .State.Running }} " + names.INPUTS_OF
    return run("docker", "container", "inspect", "-f", form, names.WORLD) == f"true {image.label_of(names.WORLD_IMAGE)}"


def _create() -> None:
    succeeds("docker", "rm", "--force", "--volumes", names.WORLD)
    succeeds("docker", "volume", "create", "--label", names.LABEL, names.APT_VOLUME)
    run(
        *("docker", "run", "--detach", "--name", names.WORLD, "--hostname", names.WORLD),
        *("--restart", "unless-stopped", "--label", names.LABEL, "--shm-size", "512m"),
        *("--network", names.NETWORK, "--ip", names.WORLD4, "--ip6", names.WORLD6, *definition.arguments()),
        *("--volume", f"{names.CACHE}:/opt/shared:ro", "--volume", f"{names.APT_VOLUME}:/var/cache/world-apt"),
        names.WORLD_IMAGE,
    )


def prove(found: list[Service]) -> None:
    """Wait until each service answers as its file says."""
    for service in found:
        for command in service.ready:
            wait_for(f"world's {service.name} ({command})", lambda said=command: inside(said), 60)  # type: ignore[misc]


def up() -> None:
    """World as its files say, running and answering."""
    network.up()
    scenarios.forget_lost()
    if not _current():
        with stage("starting world"):
            _create()
            prove(services.every())
        return
    prove(services.every())


def refusal(table: str, service: Service, client: str) -> str:
    """The packet filter's rules by which a service refuses connections, those that are open included.

    The service keeps running: pebble would lose its accounts, as no authority does that is down for an hour.
    """
    rules = [
        f"{family} daddr {prefix}{service.address} {f'{family} saddr {client} ' if client else ''}"
        f"tcp dport {{ {', '.join(service.ports)} }} reject with tcp reset"
        for family, prefix in (("ip", "172.30.0."), ("ip6", "fd30::"))
        if not client or (":" in client) == (family == "ip6")
    ]
    chain = "type filter hook input priority -10;"
    return "\n".join([f"table inet {table} {{ chain input {{", chain, *rules, "}", "}", ""])


def _switch(service: Service, mode: str, client: str) -> None:
    """One fault for one client, or for all; first whatever was there before goes."""
    table = re.sub(r"\W", "_", f"fault_{service.name}_{client or 'all'}")
    file = f"/run/world/{service.name}@{client or 'all'}"
    # By renaming, since the service reads it at any time.
    write = f"mkdir -p /run/world && cat >{file}.new && mv {file}.new {file}"
    script = f"nft delete table inet {table} 2>/dev/null; {f'rm -f {file}' if mode == 'none' else write}"
    run("docker", "exec", "--interactive", names.WORLD, "sh", "-c", script, text=mode)
    if mode == "outage":
        rules = refusal(table, service, client)
        run("docker", "exec", "--interactive", names.WORLD, "nft", "-f", "-", text=rules)


def fault(name: str, mode: str, clients: list[str]) -> None:
    """Make a service fail in one way (`outage`, or what its file lists), or work again (`none`)."""
    known = {each.name: each for each in services.every() if each.ports}
    if name not in known:
        raise Failed(f"no such service of world with ports: {name}; there are {', '.join(known)}")
    modes = ("none", "outage", *known[name].faults)
    # `500@3`, where a service counts: at the third request from now alone.
    kind = re.sub(r"@[1-9][0-9]*$", "", mode)
    if kind not in (modes if kind == mode else known[name].counted):
        raise Failed(f"{name} knows no fault {mode}; there are {', '.join(modes)}")
    try:
        whom = [str(ipaddress.ip_address(client)) for client in clients] or [""]
    except ValueError as problem:
        raise Failed(str(problem)) from problem
    for client in whom:
        _switch(known[name], mode, client)
    if mode == "none":
        prove([known[name]])


def dns_set(name: str, kind: str, values: list[str]) -> None:
    """Make a name of the zone have just these values of a type; none removes it."""
    full = f"{names.ZONE}." if name == "@" else f"{name}.{names.ZONE}."
    lines = [f"update delete {full} {kind}", *(f"update add {full} 1 {kind} {value}" for value in values)]
    text = "\n".join([f"zone {names.ZONE}", *lines, "send", ""])
    run("docker", "exec", "--interactive", names.WORLD, "nsupdate", "-l", text=text)


def reverse(address: str, name: str) -> None:
    """What an address is called, as the provider of a server sets it; an empty name is none."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    lines = [f"update delete {pointer}. PTR", *([f"update add {pointer}. 1 PTR {name}."] if name else [])]
    run("docker", "exec", "--interactive", names.WORLD, "nsupdate", "-l", text="\n".join([*lines, "send", ""]))


def point(address4: str, address6: str, hosts: list[str]) -> None:
    """Point names of the zone at a host."""
    for host in hosts:
        dns_set(host, "A", [address4])
        dns_set(host, "AAAA", [address6])


def status() -> None:
    """Say what runs, and which services of world answer."""
    form = "{{.Names}}\t{{.Status}}"
    say("containers:\n" + run("docker", "ps", "--all", "--filter", f"label={names.LABEL}", "--format", form))
    for each in services.every():
        answers = all(inside(command) for command in each.ready)
        say(f"{each.name}: {'answers' if answers else 'DOES NOT ANSWER'} ({each.summary})")
