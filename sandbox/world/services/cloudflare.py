"""A fake of Cloudflare's API; the sandbox's DNS serves the records of its zone.

names: api.cloudflare.com
address: 5
ports: 443
counted: 429 500 busy timeout lost 403 blocked
ready: curl -sS https://api.cloudflare.com/client/v4/zones | grep -q 9106
"""

from __future__ import annotations

import functools

import kit
from kit.cloudflare import records, server, tokens
from kit.cloudflare.api import Api
from kit.cloudflare.faults import Faults, Order
from kit.cloudflare.zones import Zones

# DNS serves the first zone. The second one exists for tokens that have access to only one zone.
PLANS = {kit.ZONE: "free", "elsewhere.test": "pro"}


def publish_records(zone: str, went: list[records.Record], came: list[records.Record]) -> None:
    """Publish a change of records in the DNS; changes only these values, so that other names stay."""
    gone = [f"update delete {record['name']}. {record['type']} {records.zone_file(record)}" for record in went]
    # TTL 1: resolvers must see new and changed names immediately.
    new = [f"update add {record['name']}. 1 {record['type']} {records.zone_file(record)}" for record in came]
    if zone == kit.ZONE and (gone or new):
        kit.update_dns(*gone, *new)


def read_order(client: str) -> Order:
    """Return the current fault for a client, from the file that sandbox.py writes."""
    for name in (client.removeprefix("::ffff:"), "all"):
        try:
            file = kit.FAULTS / f"cloudflare@{name}"
            return Order(file.read_text().strip(), file.stat().st_mtime)
        except FileNotFoundError:
            continue
    return Order("none", 0)


if __name__ == "__main__":
    zones = Zones(PLANS, publish_records, kit.STATE / "cloudflare-zones.json")
    api = Api(zones, functools.partial(tokens.read, kit.SHARED))
    handler = server.handler(api, Faults(read_order), server.Journal())
    # The certificate also contains the addresses, for controllers that use another DNS.
    kit.serve_https(handler, "5", ("api.cloudflare.com", "172.30.0.5", "fd30::5"))
