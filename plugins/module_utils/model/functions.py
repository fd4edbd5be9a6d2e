# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The components that the functions of a host need."""

from __future__ import annotations

from . import topology

# The components of groups. Those of sites follow from the sites that a host serves.
COMPONENTS = {
    ("postgresql", "pgbouncer", "pgbackrest"): ("database", "database_standby"),
    ("redis",): ("cache",),
    ("docker",): ("edu", "mail"),
    ("mailcow",): ("mail",),
}


def needed_components(plan: topology.Topology, host: str) -> list[str]:
    """Return the components that the functions of a host need, without versions and without those of every host."""
    sites = [site for site in plan.sites.values() if "group" in site]
    serves = any(host in plan.edges(site) or plan.forwarders(site, host) for site in sites)
    of_groups = [
        name
        for names, groups in COMPONENTS.items()
        if any(host in (plan.groups.get(group) or ()) for group in groups)
        for name in names
    ]
    return [*(["nginx", "certificates"] if serves else []), *of_groups]
