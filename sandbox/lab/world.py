"""World: the container that plays everything outside of the platform's hosts."""

from __future__ import annotations

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
    form = '{{ .State.Running }} {{ index .Config.Labels "vise.inputs" }}'
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


def fault(verb: str, name: str) -> None:
    """Make a service refuse connections (stop) and answer again (start).

    It keeps running: pebble would lose its accounts, as no certificate authority does that is down for an hour.
    """
    known = {each.name: each for each in services.every()}
    if name not in known or not known[name].ports:
        raise Failed(f"no such service of world with ports: {name}; there are {', '.join(known)}")
    table, ports, octet = f"fault_{name}", ", ".join(known[name].ports), known[name].address
    inside(f"nft delete table inet {table}")
    if verb == "start":
        prove([known[name]])
        return
    rules = f"""table inet {table} {{
      chain input {{
        type filter hook input priority -10
        ip daddr 172.30.0.{octet} tcp dport {{ {ports} }} reject with tcp reset
        ip6 daddr fd30::{octet} tcp dport {{ {ports} }} reject with tcp reset
      }}
    }}
    """
    run("docker", "exec", "--interactive", names.WORLD, "nft", "-f", "-", text=rules)


def dns_set(name: str, kind: str, values: list[str]) -> None:
    """Make a name of the zone have just these values of a type; none removes it."""
    full = f"{names.ZONE}." if name == "@" else f"{name}.{names.ZONE}."
    lines = [f"update delete {full} {kind}", *(f"update add {full} 1 {kind} {value}" for value in values)]
    text = "\n".join([f"zone {names.ZONE}", *lines, "send", ""])
    run("docker", "exec", "--interactive", names.WORLD, "nsupdate", "-l", text=text)


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
