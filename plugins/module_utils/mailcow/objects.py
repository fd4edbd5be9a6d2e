# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All kinds of objects: the lists to read, the references between objects, and the order of changes."""

from __future__ import annotations

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import (
    aliases,
    app_passwords,
    domain_admins,
    domains,
    limits,
    mailboxes,
    relays,
    sync,
)
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

KINDS = (
    relays.RELAY_HOSTS,
    relays.TRANSPORTS,
    domains.KIND,
    mailboxes.KIND,
    aliases.KIND,
    domain_admins.KIND,
    app_passwords.KIND,
    limits.DOMAINS,
    limits.MAILBOXES,
)
LISTS: dict[str, dict[str, t.Any]] = {
    "relay_hosts": relays.RELAY_HOST,
    "transports": relays.TRANSPORT,
    "domains": domains.DOMAIN,
    "mailboxes": mailboxes.MAILBOX,
    "aliases": aliases.ALIAS,
    "domain_admins": domain_admins.ADMIN,
    "app_passwords": app_passwords.APP_PASSWORD,
    "limits": limits.LIMIT,
}
PURGES = {"purge_mailboxes": "mailboxes", "purge_aliases": "aliases", "purge_domain_admins": "domain_admins"}
ARGUMENT_SPEC: dict[str, t.Any] = {
    # no_log=False prevents a warning about the word "password" in their names; passwords in the lists have no_log
    **{option: sync.object_list(options, no_log=False) for option, options in LISTS.items()},
    "purge_mailboxes": {**sync.STRINGS, "default": []},
    "purge_aliases": {**sync.STRINGS, "default": []},
    "purge_domain_admins": {"type": "bool", "default": False},
    "update_password": {"type": "str", "choices": ["on_create", sync.ALWAYS], "default": "on_create", "no_log": False},
}

# Each change follows the changes that it depends on. A limit is removed before its object is deleted. An alias is
# changed before a mailbox is deleted, because mailcow deletes an alias with its last target. An administrator is
# changed before a domain is deleted, for the same reason. A relay host is deleted after the last domain that uses it
# was changed.
ORDER = (
    ("remove", "rl-domain"),
    ("remove", "rl-mbox"),
    ("delete", "app-passwd"),
    ("delete", "domain-admin"),
    ("delete", "alias"),
    ("edit", "alias"),
    ("delete", "mailbox"),
    ("edit", "relayhost"),
    ("add", "relayhost"),
    ("delete", "transport"),
    ("edit", "transport"),
    ("add", "transport"),
    ("edit", "domain"),
    ("add", "domain"),
    ("edit", "domain-admin"),
    ("delete", "domain"),
    ("edit", "mailbox"),
    ("add", "mailbox"),
    ("add", "alias"),
    ("add", "domain-admin"),
    ("edit", "app-passwd"),
    ("add", "app-passwd"),
    ("edit", "rl-domain"),
    ("edit", "rl-mbox"),
    ("delete", "relayhost"),
)


# For each kind of referenced object, the option that adds it
REFERRED = {"relay host": "relay_hosts", "domain": "domains", "alias domain": "domains", "mailbox": "mailboxes"}

Objects = dict[str, dict[str, sync.Current]]  # by the path of the kind, then by name
Wanted = dict[str, list[Row]]  # by the path of the kind


class References(t.NamedTuple):
    """Names of referenced objects: those that exist after the plan, and those that the plan removes."""

    remaining: dict[str, set[str]]
    removed: dict[str, set[str]]


def planned(client: Client, params: Row) -> list[sync.Step]:
    """Read mailcow's objects and return the steps to the wanted ones."""
    return plan(params, find(client, params))


def select(params: Row) -> Wanted:
    """Return the wanted objects of each kind; none for a list that is not given."""
    return {
        kind.path: [kind.normalize(entry) for entry in params[kind.option] or [] if kind.selects(entry)]
        for kind in KINDS
    }


def find(client: Client, params: Row) -> sync.Rows:
    """Read the lists that the wanted objects need, each once."""
    wanted, rows = select(params), dict[str, list[Row]]()

    def read(path: str, *reasons: object) -> list[Row]:
        rows[path] = client.rows(path, "all") if any(reasons) else []
        return rows[path]

    read("relayhost", wanted["relayhost"], [entry for entry in wanted["domain"] if entry["relay_host"]])
    read("transport", wanted["transport"])
    users = [wanted[path] for path in ("mailbox", "alias", "domain-admin", "rl-domain")]
    names = {row["domain_name"] for row in read("domain", wanted["domain"], *users)}
    described = {entry["name"] for entry in wanted["domain"]}
    used = {name for entry in wanted["alias"] for _kind, name in aliases.needs(entry)}
    read("alias-domain", used - names - described)
    removed = [entry for entry in wanted["domain"] if entry["state"] == "absent" and entry["name"] in names]
    boxes = read(
        "mailbox", wanted["mailbox"], params["purge_mailboxes"], wanted["app-passwd"], wanted["rl-mbox"], removed
    )
    read("alias", wanted["alias"], params["purge_aliases"])
    read("domain-admin", wanted["domain-admin"], params["purge_domain_admins"])
    owners = {entry["mailbox"] for entry in wanted["app-passwd"]} & {row["username"] for row in boxes}
    rows["app-passwd"] = [row for name in sorted(owners) for row in client.rows("app-passwd", "all", name)]
    read("rl-domain", wanted["rl-domain"])
    read("rl-mbox", wanted["rl-mbox"])
    return rows


def plan(params: Row, rows: sync.Rows) -> list[sync.Step]:
    """Return the steps from the API's rows to the wanted objects, in order; fail if mailcow would refuse a step."""
    wanted = select(params)
    current = {kind.path: kind.read(rows) for kind in KINDS}
    purge = {kind.path: purged(kind, params, current[kind.path]) for kind in KINDS}
    references = find_references(wanted, current, purge, rows)
    sync.refuse(find_problems(params, wanted, current) + find_contradictions(wanted, current, references))
    sync.refuse_unknown(params, find_unknown(wanted, references))
    always = params["update_password"] == sync.ALWAYS
    quotas = find_default_quotas(wanted, current)
    steps = [
        insert_numbers(step, rows, quotas)
        for kind in KINDS
        for step in sync.plan(kind, wanted[kind.path], current[kind.path], purge[kind.path], always)
    ]
    return sorted(steps, key=rank)


def rank(step: sync.Step) -> int:
    """Return a step's place in ORDER."""
    removes_limit = step.path.startswith("rl-") and step.after.get("messages") == 0
    return ORDER.index(("remove" if removes_limit else step.verb, step.path))


def purged(kind: sync.Kind, params: Row, names: t.Iterable[str]) -> list[str]:
    """Return the current objects that are deleted unless they are wanted."""
    if kind is domain_admins.KIND:
        return list(names) if params["purge_domain_admins"] else []
    in_domains = [sync.to_ascii(name) for name in params.get(f"purge_{kind.option}") or []]
    return [name for name in names if name.rpartition("@")[2] in in_domains]


def find_references(
    wanted: Wanted, current: Objects, purge: t.Mapping[str, t.Sequence[str]], rows: sync.Rows
) -> References:
    """Return the names that other objects can refer to."""
    references = References({}, {})
    kinds = {"relay host": relays.RELAY_HOSTS, "domain": domains.KIND, "mailbox": mailboxes.KIND}
    for label, kind in kinds.items():
        present = {entry[kind.key] for entry in wanted[kind.path] if entry["state"] == "present"}
        absent = {entry[kind.key] for entry in wanted[kind.path] if entry["state"] == "absent"}
        references.removed[label] = (absent | set(purge[kind.path])) - present
        references.remaining[label] = present | (current[kind.path].keys() - references.removed[label])
    removed = references.removed["domain"]
    other = {row.get("alias_domain") for row in rows["alias-domain"] if row.get("target_domain") not in removed}
    references.remaining["alias domain"] = references.remaining["domain"] | {name for name in other if name}
    references.removed["alias domain"] = removed
    return references


def find_problems(params: Row, wanted: Wanted, current: Objects) -> list[str]:
    """Return the problems in the lists, by kind."""
    problems = [
        f"{purge} is given without {option} and would delete all of them: give {option}, too"
        for purge, option in PURGES.items()
        if params[purge] and params[option] is None
    ]
    for kind in KINDS:
        problems += sync.find_duplicates(kind, wanted[kind.path])
        problems += kind.problems(wanted[kind.path], current[kind.path])
    return problems


def find_contradictions(wanted: Wanted, current: Objects, references: References) -> list[str]:
    """Return the problems of objects that need a removed object, and of removed domains that are not empty."""
    problems = [
        f"{kind.path} {entry[kind.key]} needs {label.removeprefix('alias ')} {name}, which this task removes"
        for kind in KINDS
        for entry in wanted[kind.path]
        for label, name in kind.needs(entry)
        if name in references.removed[label] and entry["state"] == "present"
    ]
    for domain in sorted(references.removed["domain"] & current["domain"].keys()):
        left = sorted(name for name in references.remaining["mailbox"] if name.endswith(f"@{domain}"))
        if left:
            problems.append(
                f"domain {domain} cannot be removed, because it has mailboxes: remove {', '.join(left)}, too"
            )
    return problems


def find_unknown(wanted: Wanted, references: References) -> list[str]:
    """Return the problems of referenced objects that exist neither in mailcow nor in the lists."""
    names = [
        (label, name)
        for kind in KINDS
        for entry in wanted[kind.path]
        for label, name in kind.needs(entry)
        if name not in references.remaining[label] | references.removed[label]
    ]
    return [
        f"{label.removeprefix('alias ')} {name} does not exist: add it to {REFERRED[label]}" for label, name in names
    ]


def find_default_quotas(wanted: Wanted, current: Objects) -> dict[str, int]:
    """Return the default quota of each domain after the plan, as far as it is known."""
    known = {name: domain.values["default_quota"] for name, domain in current["domain"].items()}
    return known | {e["name"]: e["default_quota"] for e in wanted["domain"] if e["default_quota"] is not None}


def insert_numbers(step: sync.Step, rows: sync.Rows, quotas: t.Mapping[str, int]) -> sync.Step:
    """Return a step with the numbers of objects that are known: relay hosts, and default quotas of domains."""
    numbers = {
        sync.Reference("domain", "domain_name", name, "def_quota_for_mbox"): size for name, size in quotas.items()
    } | {
        sync.Reference("relayhost", "hostname", row["hostname"]): sync.to_number(row["id"]) for row in rows["relayhost"]
    }
    attributes = {
        key: numbers.get(value, value) if isinstance(value, sync.Reference) else value
        for key, value in step.attributes.items()
    }
    return step._replace(attributes=attributes)
