# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a repository that follow from its answers, and the answers that its files contain. Pure."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from ansible_collections.vise.platform.plugins.module_utils.description import write_yaml

from . import insertions
from .answers import OFFERED, SSH_PORT, Answers, Bucket, Host, Person, Site, name_buckets

HOSTS = "inventory/hosts.yml"
TOPICS = "inventory/group_vars/all"
VAULT = f"{TOPICS}/vault.yml"
PASSWORD_FILE = ".vault-password"  # noqa: S105  # the name of the file
COLLECTION = ".ansible/collections/ansible_collections/vise/platform"
MODELINE = f"# yaml-language-server: $schema=../../../{COLLECTION}/roles/preflight/files/description.editor.schema.json"
# The role ssh accepts the keys in the home of these accounts.
HOME_ACCOUNTS = ("root", "admin", "debian")
# The commands of the Makefile: verb, the playbooks of which the first existing one is run, and the help
VERBS = (
    ("init", ("init",), "Add a host, a function, an application, a site or a person to this repository"),
    ("secrets", ("make_secrets",), "Generate the missing secrets in the vault"),
    ("check", ("check", "preflight"), "Check what a run needs; nothing is changed"),
    ("converge", ("site",), "Run the whole platform (ARGS='--check --diff', ARGS='--limit web-1', ...)"),
    ("status", ("status",), "Show what runs, and what needs attention"),
)

# Renders a template with variables.
Render = Callable[[str, Mapping[str, t.Any]], str]


class Settings(t.NamedTuple):
    """What the files contain besides the answers."""

    version: str
    playbooks: Collection[str]
    collection: str = "vise.platform"
    password_file: str = PASSWORD_FILE


class Insertion(t.NamedTuple):
    """An entry that an existing file needs, and the place for it."""

    file: str
    path: tuple[str, ...]
    entry: str


def list_verbs(playbooks: Collection[str]) -> list[tuple[str, str, str]]:
    """Return the commands whose playbooks exist."""
    found = [(verb, next((one for one in names if one in playbooks), ""), text) for verb, names, text in VERBS]
    return [one for one in found if one[1]]


def write_key(text: str) -> str:
    """Return a key as YAML: a name of digits needs quotes."""
    shown = write_yaml(text)
    return shown if ":" not in text else json.dumps(text)


def build_context(whole: Answers, settings: Settings, render: Render) -> dict[str, t.Any]:
    """Return the variables of the templates."""
    functions = whole.functions
    kept = [] if whole.user in (*HOME_ACCOUNTS, *(one.name for one in whole.people)) else ["root", whole.user]
    return {
        **whole._asdict(),
        "groups": whole.groups,
        "storage": name_buckets(whole.storage or ()),
        "mail": "mail" in functions,
        "several_edges": len(functions.get("edge", ())) > 1,
        "kept_accounts": kept,
        "shared_database": shares_host(whole, "database"),
        "shared_mail": shares_host(whole, "mail"),
        "verbs": list_verbs(settings.playbooks),
        "modeline": MODELINE,
        "entry": lambda name, item: render(f"{name}.yml", {"item": item}).rstrip("\n"),
        **settings._asdict(),
    }


def shares_host(whole: Answers, function: str) -> bool:
    """Return whether the host of a function has another one, too."""
    hosts = set(whole.functions.get(function, ()))
    return any(hosts & set(members) for name, members in whole.groups.items() if name != function)


def list_templates(whole: Answers) -> dict[str, str]:
    """Return the path of each file with its template; the inventory is the last one."""
    functions = whole.functions
    topics = ["domain", "people", "sites", "dns"]
    topics += [name for name in ("database", "cache", "mail") if name in functions]
    if whole.storage is not None:
        topics.append("backups")
    return {
        ".gitignore": "gitignore",
        "ansible.cfg": "ansible.cfg",
        "requirements.yml": "requirements.yml",
        "requirements.txt": "requirements.txt",
        "Makefile": "Makefile",
        "README.md": "README.md",
        ".github/workflows/check.yml": "check.yml",
        **{f"{TOPICS}/{name}.yml": f"{name}.yml" for name in topics},
        # Its existence marks a complete repository.
        HOSTS: "hosts.yml",
    }


def write_files(whole: Answers, settings: Settings, render: Render) -> dict[str, str]:
    """Return the text of each file of the repository, by its path."""
    context = build_context(whole, settings, render)
    pages = {
        f"sites/{site.name}/index.html": render("page.html", {"site": site}) for site in whole.sites if not site.port
    }
    return {**pages, **{path: render(template, context) for path, template in list_templates(whole).items()}}


def list_insertions(whole: Answers, existing: Answers, render: Render) -> Iterator[Insertion]:
    """Yield the entries that the existing files of a repository do not have yet."""

    def entry(template: str, item: t.Any) -> str:
        return render(f"{template}.yml", {"item": item})

    for host in news(whole.hosts, existing.hosts):
        yield Insertion(HOSTS, ("all", "hosts"), entry("host", host))
    for name in [one for one in whole.groups if one not in existing.groups]:
        yield Insertion(HOSTS, ("all", "children"), entry("group", (name, whole.groups[name])))
    yield from list_members(whole, existing)
    for site in news(whole.sites, existing.sites):
        yield Insertion(f"{TOPICS}/sites.yml", ("sites",), entry("site", site))
    if "mail" in whole.functions and "mail" not in existing.functions:
        yield Insertion(f"{TOPICS}/sites.yml", ("sites",), entry("mail_site", None))
    for person in news(whole.people, existing.people):
        yield Insertion(f"{TOPICS}/people.yml", ("people",), entry("person", person))
    for application in [one for one in whole.applications if one not in existing.applications]:
        yield Insertion(f"{TOPICS}/database.yml", ("databases",), entry("database_store", application))
        yield Insertion(f"{TOPICS}/cache.yml", ("caches",), entry("cache_store", application))


def list_members(whole: Answers, existing: Answers) -> Iterator[Insertion]:
    """Yield the hosts that the existing groups of the inventory do not have yet."""
    for name, before in existing.groups.items():
        for member in [one for one in whole.groups[name] if one not in before]:
            yield Insertion(HOSTS, ("all", "children", name, "hosts"), f"{write_key(member)}:\n")


def news(entries: Iterable[t.Any], before: Iterable[t.Any]) -> list[t.Any]:
    """Return the entries whose names are new."""
    names = {one.name for one in before}
    return [one for one in entries if one.name not in names]


def insert_entries(files: Mapping[str, str], wanted: Iterable[Insertion]) -> tuple[dict[str, str], list[str]]:
    """Return the changed texts of existing files, and what the user has to write because a file cannot be edited.

    A file that does not exist is written as a whole, with all entries.
    """
    changed: dict[str, str] = {}
    problems = []
    for one in wanted:
        if one.file not in files:
            continue
        text = changed.get(one.file, files[one.file])
        try:
            changed[one.file] = insertions.insert(text, one.path, one.entry)
        except insertions.InsertionError as error:
            entry = "\n".join(f"    {line}" for line in one.entry.splitlines())
            problems.append(f"{one.file}: {error}; add this to {'.'.join(one.path)} yourself:\n{entry}")
    return changed, problems


def read_existing(files: Mapping[str, str]) -> Answers:
    """Return what the files of a repository contain; nothing without an inventory."""
    if HOSTS not in files:
        return Answers()
    inventory = mapping(insertions.load(files[HOSTS])).get("all")
    top = mapping(inventory)
    topics = {
        path.removeprefix(f"{TOPICS}/").removesuffix(".yml"): mapping(insertions.load(text))
        for path, text in files.items()
        if path.startswith(f"{TOPICS}/") and path != VAULT
    }
    groups = {name: tuple(mapping(mapping(group).get("hosts"))) for name, group in mapping(top.get("children")).items()}
    functions = {name: hosts for name, hosts in groups.items() if name in OFFERED}
    every = {name: value for topic in topics.values() for name, value in topic.items()}
    return Answers(
        domain=str(every.get("domain", "")),
        user=str(mapping(top.get("vars")).get("ansible_user", "")),
        hosts=tuple(read_host(name, mapping(one)) for name, one in mapping(top.get("hosts")).items()),
        functions=functions,
        applications={name: hosts for name, hosts in groups.items() if name not in functions},
        sites=tuple(read_sites(mapping(every.get("sites")))),
        people=tuple(Person(str(one["name"]), tuple(one.get("keys") or ())) for one in every.get("people") or ()),
        dns=("cloudflare" if every.get("cloudflare_token") else "none") if "dns" in topics else "",
        storage=tuple(map(read_bucket, every.get("backup_repositories") or ())) if "backups" in topics else None,
    )


def mapping(value: t.Any) -> Mapping[t.Any, t.Any]:
    """Return a value that is a mapping; anything else counts as empty."""
    return value if isinstance(value, Mapping) else {}


def read_host(name: t.Any, values: Mapping[str, t.Any]) -> Host:
    """Return a host of an inventory."""
    first = values.get("ansible_host")
    listed = values.get("public_addresses") or ()
    addresses = tuple(dict.fromkeys(str(one) for one in (*([first] if first else []), *listed)))
    return Host(str(name), addresses, int(values.get("ansible_port") or SSH_PORT))


def read_sites(sites: Mapping[str, Mapping[str, t.Any]]) -> Iterator[Site]:
    """Yield the sites of a description, except the one that belongs to mail."""
    for name, site in sites.items():
        port = site.get("port")
        if name != "mail":
            yield Site(str(name), str(site.get("domain", "")), int(port) if port else 0)


def read_bucket(values: Mapping[str, t.Any]) -> Bucket:
    """Return the bucket of a repository of the description."""
    return Bucket(*(str(values.get(name, "")) for name in Bucket._fields))


def list_records(whole: Answers) -> list[str]:
    """Return the DNS records that a user has to create, if the platform does not publish them."""
    edge = [address for name in whole.functions.get("edge", ()) for address in whole.host(name).addresses]
    records = [(site.domain, address) for site in whole.sites for address in edge]
    if "mail" in whole.functions:
        own = [address for name in whole.functions["mail"] for address in whole.host(name).addresses]
        names = [f"{name}.{whole.domain}" for name in ("mail", "autoconfig", "autodiscover", "mta-sts")]
        records += [(name, address) for name in names for address in own]
    return [f"{name} {'AAAA' if ':' in address else 'A'} {address}" for name, address in records]
