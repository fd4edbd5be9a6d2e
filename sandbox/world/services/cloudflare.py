"""Cloudflare's API; the records of its zone are served by the sandbox's DNS.

names: api.cloudflare.com
address: 5
ports: 443
counted: 429 500 timeout lost
ready: curl -sS https://api.cloudflare.com/client/v4/zones | grep -q 9106
"""

from __future__ import annotations

import functools

import kit
from kit.cloudflare import records, server, tokens
from kit.cloudflare.api import Api
from kit.cloudflare.faults import Faults, Order
from kit.cloudflare.zones import Zones

# The first is served as DNS; the second is there for tokens that see just one.
PLANS = {kit.ZONE: "free", "elsewhere.test": "pro"}


def publish(zone: str, went: list[records.Record], came: list[records.Record]) -> None:
    """Have the DNS say so: only these values, so that names made otherwise stay."""
    gone = [f"update delete {record['name']}. {record['type']} {records.zone_file(record)}" for record in went]
    # A name that was just published is to be seen at once, and one that changed as well.
    new = [f"update add {record['name']}. 1 {record['type']} {records.zone_file(record)}" for record in came]
    if zone == kit.ZONE and (gone or new):
        kit.update_dns(*gone, *new)


def order(client: str) -> Order:
    """How to fail now; the file that sandbox.py writes says so."""
    for whom in (client.removeprefix("::ffff:"), "all"):
        try:
            file = kit.FAULTS / f"cloudflare@{whom}"
            return Order(file.read_text().strip(), file.stat().st_mtime)
        except FileNotFoundError:
            continue
    return Order("none", 0)


if __name__ == "__main__":
    api = Api(Zones(PLANS, publish, kit.STATE / "cloudflare-zones.json"), functools.partial(tokens.read, kit.SHARED))
    handler = server.handler(api, Faults(order), server.Journal())
    # By its address too, for controllers that ask another DNS.
    kit.serve_https(handler, "5", ("api.cloudflare.com", "172.30.0.5", "fd30::5"))
