"""The Compose file, merged with the role's own: services, volumes, networks, ports, variables."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.filter import mailcow_conf
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import adoption, copies, settings, stack

from tests.contract.trees import ROLE, Tree, interpolate
from tools import collection, templates

RENDERED = dict(templates.render_templates(ROLE, templates.load_cases(ROLE, collection.ROOT)["defaults"]))
CONF = settings.parse_conf(RENDERED["mailcow.conf.j2"])
OVERRIDE = yaml.safe_load(RENDERED["docker-compose.override.yml.j2"])
SERVICES = {
    *("acme", "clamd", "dockerapi", "dovecot", "memcached", "mysql", "netfilter", "nginx", "ofelia"),
    *("olefy", "php-fpm", "postfix", "postfix-tlspol", "redis", "rspamd", "sogo", "unbound", "watchdog"),
}
# Where the role's programs find a volume: the service and the directory in its container.
MOUNTS = {
    "vmail-vol-1": ("dovecot-mailcow", "/var/vmail"),
    "vmail-index-vol-1": ("dovecot-mailcow", "/var/vmail_index"),
    "crypt-vol-1": ("dovecot-mailcow", "/mail_crypt"),
    "mysql-vol-1": ("mysql-mailcow", "/var/lib/mysql"),
    "redis-vol-1": ("redis-mailcow", "/data"),
    "rspamd-vol-1": ("rspamd-mailcow", "/var/lib/rspamd"),
    "postfix-vol-1": ("postfix-mailcow", "/var/spool/postfix"),
    "sogo-userdata-backup-vol-1": ("sogo-mailcow", "/sogo_backup"),
}
# The containers' addresses in the network, which a change of the network must change.
ADDRESSES = {"unbound": 254, "redis": 249, "sogo": 248, "dovecot": 250, "postfix": 253}
# Compose reads these variables itself, or only mailcow's scripts do.
OF_SCRIPTS = {"COMPOSE_PROJECT_NAME", "DOCKER_COMPOSE_VERSION"}


def environment(tree: Tree, service: str) -> dict[str, str]:
    """Return the environment of a service."""
    found = tree.compose["services"][service].get("environment") or {}
    return found if isinstance(found, dict) else dict(line.split("=", 1) for line in found)


def published(tree: Tree) -> set[str]:
    """Return the published ports of all services as the role configures them."""
    ports = [port for service in tree.compose["services"].values() for port in service.get("ports", [])]
    return {interpolate(port, CONF).rpartition(":")[0] for port in ports}


def test_services_are_those_of_the_role(tree: Tree) -> None:
    assert set(tree.compose["services"]) == {f"{name}-mailcow" for name in SERVICES}
    assert set(OVERRIDE["services"]) <= set(tree.compose["services"])
    assert {*stack.CERTIFICATE_USERS, stack.MILTER[0]} <= set(tree.compose["services"])


def test_each_volume_is_backed_up_in_a_snapshot_or_rebuilt(tree: Tree) -> None:
    assert set(tree.compose["volumes"]) == {*MOUNTS, *copies.REBUILT, "postfix-tlspol-vol-1"}
    assert {*copies.MERGED, *copies.BACKED_UP} <= set(MOUNTS)


@pytest.mark.parametrize("volume", sorted(MOUNTS))
def test_volume_is_mounted_where_its_service_reads_it(tree: Tree, volume: str) -> None:
    service, directory = MOUNTS[volume]
    mounts = [mount.split(":") for mount in tree.compose["services"][service]["volumes"]]
    assert directory in [mount[1].rstrip("/") for mount in mounts if mount[0] == volume]


def test_services_read_the_certificate_that_the_role_installs(tree: Tree) -> None:
    for service in stack.CERTIFICATE_USERS:
        mounts = [mount.split(":")[:2] for mount in tree.compose["services"][service]["volumes"]]
        assert ["data/assets/ssl", "/etc/ssl/mail"] in [[a.strip("./"), b.rstrip("/")] for a, b in mounts]


def test_only_mail_is_published(tree: Tree) -> None:
    assert {port for port in published(tree) if not port.startswith("127.")} == {"25", "465", "587", "993", "4190"}


def test_each_port_of_the_role_is_published(tree: Tree) -> None:
    assert len(published(tree)) == len([name for name in CONF if name.endswith("_PORT")])


def test_network_follows_from_the_variables(tree: Tree) -> None:
    (network,) = tree.compose["networks"].values()
    assert tree.compose["networks"].keys() == {"mailcow-network"}
    subnets = [interpolate(part["subnet"], CONF) for part in network["ipam"]["config"]]
    assert subnets == ["172.22.1.0/24", "fd4d:6169:6c63:6f77::/64"]
    assert interpolate(str(network["enable_ipv6"]), {**CONF, "ENABLE_IPV6": "false"}) == "false"
    assert network["driver_opts"] == {"com.docker.network.bridge.name": "br-mailcow"}


def test_fixed_addresses_are_in_the_network(tree: Tree) -> None:
    networks = {name: service.get("networks") or {} for name, service in tree.compose["services"].items()}
    fixed = {
        name.removesuffix("-mailcow"): interpolate(found["mailcow-network"]["ipv4_address"], CONF)
        for name, found in networks.items()
        if isinstance(found, dict) and "ipv4_address" in (found.get("mailcow-network") or {})
    }
    assert fixed == {name: f"172.22.1.{number}" for name, number in ADDRESSES.items()}


def variables(tree: Tree) -> dict[str, str | None]:
    """Return the variables of the Compose file with their defaults."""
    found: dict[str, str | None] = {}
    for name, default in re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)(:-[^}]*)?\}", tree.read("docker-compose.yml")):
        found[name] = default[2:] if default else found.get(name)
    return found


def test_role_sets_each_variable_without_a_default(tree: Tree) -> None:
    assert {name for name, default in variables(tree).items() if default is None} <= set(CONF)


def test_role_sets_only_variables_that_mailcow_reads(tree: Tree) -> None:
    assert set(CONF) - set(variables(tree)) == OF_SCRIPTS - set(variables(tree))


def test_each_boolean_variable_is_known_to_the_role(tree: Tree) -> None:
    defaults = variables(tree)
    booleans = {name for name, default in defaults.items() if default in ("y", "n", "true", "false", "disallow")}
    # These take an address, or n for none
    assert booleans - {"SNAT_TO_SOURCE", "SNAT6_TO_SOURCE"} <= set(mailcow_conf.SPELLINGS)
    assert {name for name in defaults if name in mailcow_conf.YES_NO} <= booleans


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("php-fpm-mailcow", ["API_KEY", "API_ALLOW_FROM", "MAILCOW_HOSTNAME", "SKIP_SOGO", "IMAP_PORT"]),
        ("mysql-mailcow", ["MYSQL_ROOT_PASSWORD", "MYSQL_DATABASE", "MYSQL_USER", "MYSQL_PASSWORD"]),
        ("redis-mailcow", ["REDISPASS"]),
        ("acme-mailcow", ["SKIP_LETS_ENCRYPT"]),
        ("nginx-mailcow", ["HTTP_PORT", "HTTPS_PORT", "HTTP_REDIRECT", "TRUSTED_PROXIES", "ENABLE_IPV6"]),
        ("unbound-mailcow", ["SKIP_UNBOUND_HEALTHCHECK"]),
        ("netfilter-mailcow", ["IPV4_NETWORK", "DISABLE_NETFILTER_ISOLATION_RULE"]),
    ],
)
def test_service_gets_the_variables_of_the_role(tree: Tree, service: str, names: list[str]) -> None:
    assert set(names) <= set(environment(tree, service))


def test_values_that_adoption_compares_are_those_of_the_databases(tree: Tree) -> None:
    found: dict[str, Any] = environment(tree, "mysql-mailcow") | environment(tree, "redis-mailcow")
    used = {interpolate(str(value), {name: name for name in adoption.FIXED}) for value in found.values()}
    assert set(adoption.FIXED) - {"COMPOSE_PROJECT_NAME"} <= used
