# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the answers of a user, which are short texts, and find what is wrong with them. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils import description
from ansible_collections.vise.platform.plugins.module_utils.description import Schema
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError, to_ascii
from ansible_collections.vise.platform.plugins.module_utils.model.topology import FUNCTIONS, find_misspelt_groups

# The functions that a company can choose, in the order of the written inventory
OFFERED = ("edge", "docs", "mail", "database", "database_standby", "cache")
# What the word `all` stands for
EVERYTHING = ("docs", "mail", "database", "cache")
# Functions that one host has
SINGLE = ("mail", "database")
DNS = ("cloudflare", "none")
SSH_PORT = 22
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
APPLICATION = re.compile(r"[a-z][a-z0-9_]{0,50}")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# `192.0.2.1`, `192.0.2.1:2222`, `2001:db8::1`, `[2001:db8::1]:2222`
ADDRESS = re.compile(r"\[(?P<bracketed>[^\]]*)\](?::(?P<port>[0-9]+))?|(?P<name>[^:]+):(?P<port4>[0-9]+)|(?P<bare>.+)")
# The start of an entry NAME=VALUE; the end of a public key in base64 has such signs too.
PERSON = re.compile(r"(?:^|[\s,]+)(?=[^\s=,]+=[^\s=,])")
KEY = re.compile(r"(sk-)?(ssh|ecdsa)-\S+ ")
# The option of each part of the description that an answer becomes
OPTIONS = {
    "domain": "init_domain",
    "sites": "init_sites",
    "people": "init_people",
    "databases": "init_applications",
    "caches": "init_applications",
    "backup_repositories": "init_storage",
}


class AnswerError(ValueError):
    """An answer cannot be used; the text names the option and what to write."""


class Host(t.NamedTuple):
    """A server: Ansible connects to its first address, and visitors use all of them."""

    name: str
    addresses: tuple[str, ...]
    port: int = SSH_PORT


class Site(t.NamedTuple):
    """A website: files of the folder sites/<name>, or a program of the application with its name on a port."""

    name: str
    domain: str
    port: int = 0


class Person(t.NamedTuple):
    """An administrator with public keys."""

    name: str
    keys: tuple[str, ...]


class Bucket(t.NamedTuple):
    """A bucket of an S3-compatible storage."""

    endpoint: str
    region: str
    bucket: str


class Answers(t.NamedTuple):
    """What a user has answered, or what the files of a repository contain.

    Functions and applications have the names of their hosts; an empty list stands for the only host.
    """

    domain: str = ""
    user: str = ""
    hosts: tuple[Host, ...] = ()
    functions: Mapping[str, tuple[str, ...]] = {}
    applications: Mapping[str, tuple[str, ...]] = {}
    sites: tuple[Site, ...] = ()
    people: tuple[Person, ...] = ()
    dns: str = ""
    storage: tuple[Bucket, ...] | None = None

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The groups of the inventory with their hosts."""
        known = {name: self.functions[name] for name in OFFERED if name in self.functions}
        return {**known, **self.functions, **self.applications}

    def host(self, name: str) -> Host:
        """Return a host by its name."""
        return next(host for host in self.hosts if host.name == name)


def split_words(value: t.Any) -> list[str]:
    """Return the entries of an answer: a list, or words between spaces; a comma at the end of a word is ignored."""
    words = value if isinstance(value, Sequence) and not isinstance(value, str) else str(value or "").split()
    return [word for one in words if (word := str(one).strip().rstrip(","))]


def split_entry(word: str) -> tuple[str, str]:
    """Return the name and the value of an entry NAME=VALUE; the value is empty if there is none."""
    name, _equals, value = word.partition("=")
    return name.strip(), value.strip()


def read_domain(text: str) -> str:
    """Return a domain as the DNS has it."""
    domain = text.strip().rstrip(".").lower()
    try:
        return to_ascii(domain)
    except DomainError as error:
        raise AnswerError(f"init_domain: {error}") from error


def read_address(word: str) -> tuple[str, int]:
    """Return an IP address and the port of SSH."""
    found = ADDRESS.fullmatch(word.strip())
    parts = found.groupdict() if found else {}
    text = str(parts.get("bracketed") or parts.get("name") or parts.get("bare") or "")
    port = int(parts.get("port") or parts.get("port4") or SSH_PORT)
    # All colons of an IPv6 address without brackets belong to it.
    if re.fullmatch(r"[0-9a-fA-F:]+:[0-9a-fA-F:]+", word):
        text, port = word, SSH_PORT
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError as error:
        raise AnswerError(f"`{word}` is not an IP address; write one such as 192.0.2.10 or 2001:db8::10") from error
    if not 0 < port < 65536:
        raise AnswerError(f"`{word}` has no valid port; write one such as 192.0.2.10:2222")
    return address, port


def read_host(word: str) -> Host:
    """Return the host of an entry NAME=ADDRESS[:PORT][,ADDRESS...]."""
    name, value = split_entry(word)
    if not HOST_NAME.fullmatch(name):
        raise AnswerError(
            f"init_hosts: `{name}` is not a valid name of a host; use lower-case letters, digits and hyphens: "
            "`web-1=192.0.2.10`"
        )
    if not value:
        raise AnswerError(f"init_hosts: {name} has no address; write `{name}=192.0.2.10`")
    try:
        addresses = [read_address(part) for part in value.split(",") if part]
    except AnswerError as error:
        raise AnswerError(f"init_hosts: {name}: {error}") from error
    return Host(name, tuple(dict.fromkeys(address for address, _port in addresses)), addresses[0][1])


def read_members(word: str) -> tuple[str, tuple[str, ...]]:
    """Return the group of an entry NAME[=HOST,HOST...] with the names of its hosts."""
    name, value = split_entry(word)
    return name, tuple(host for host in value.split(",") if host)


def read_functions(value: t.Any) -> dict[str, tuple[str, ...]]:
    """Return the functions, each with the names of its hosts."""
    found: dict[str, tuple[str, ...]] = {}
    for word in split_words(value):
        name, hosts = read_members(word)
        for function in EVERYTHING if name == "all" else (name,):
            check_function(function)
            found[function] = (*found.get(function, ()), *hosts)
    return found


def check_function(name: str) -> None:
    """Raise AnswerError for a function that does not exist."""
    if name in OFFERED:
        return
    if name in FUNCTIONS:
        raise AnswerError(f"init_functions: {name} is not part of the platform yet; write some of {', '.join(OFFERED)}")
    meant = find_misspelt_groups([name]).get(name) or description.nearest(name, OFFERED)
    advice = f"did you mean `{meant}`?" if meant else f"write some of {', '.join(OFFERED)}, or `all`"
    own = "" if meant else "; programs of your own are init_applications"
    raise AnswerError(f"init_functions: `{name}` is not a function; {advice}{own}")


def read_applications(value: t.Any) -> dict[str, tuple[str, ...]]:
    """Return the applications, each with the names of its hosts; a hyphen is not possible in the name of a group."""
    found = {}
    for word in split_words(value):
        name, hosts = read_members(word)
        group = name.replace("-", "_")
        if not APPLICATION.fullmatch(group) or group in (*OFFERED, "all", "ungrouped", "monitoring"):
            raise AnswerError(
                f"init_applications: `{name}` is not a valid name of an application; use lower-case letters, digits "
                "and underscores, a letter first, and no name of a function"
            )
        meant = find_misspelt_groups([group]).get(group)
        if meant:
            raise AnswerError(
                f"init_applications: `{name}` resembles the function {meant}; write `init_functions={meant}`, or "
                "choose another name"
            )
        found[group] = hosts
    return found


def read_site(word: str, domain: str) -> Site:
    """Return the site of an entry NAME[=DOMAIN][:PORT]."""
    name, value = split_entry(word)
    name, _colon, own_port = name.partition(":")
    address, _colon, port = value.partition(":")
    port = port or own_port
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise AnswerError(f"init_sites: `{word}` has no valid port; write `{name}={address or domain}:3000`")
    if name == "mail":
        raise AnswerError("init_sites: the function mail brings the site `mail`; choose another name")
    return Site(name, address.rstrip(".").lower() or f"{name.replace('_', '-')}.{domain}", int(port or 0))


def read_people(value: t.Any, read_file: Callable[[str], str]) -> tuple[Person, ...]:
    """Return the people of entries NAME=KEY; a key is a public key, or a file with public keys."""
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    entries = [str(one) for one in value] if listed else PERSON.split(str(value or "").strip())
    found: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, entries):
        name, text = split_entry(entry.strip().rstrip(","))
        if not text:
            raise AnswerError(f"init_people: {name} has no key; write `{name}=~/.ssh/id_ed25519.pub`")
        found[name] = (*found.get(name, ()), *read_keys(name, text, read_file))
    return tuple(Person(name, keys) for name, keys in found.items())


def read_keys(name: str, text: str, read_file: Callable[[str], str]) -> list[str]:
    """Return the public keys of a person: the text, or the lines of the file that it names."""
    if KEY.match(text):
        return [" ".join(text.split())]
    try:
        content = read_file(text)
    except OSError as error:
        raise AnswerError(
            f"init_people: {name}: {text} cannot be read ({error.strerror}); name a file with a public key, or write "
            "the key `ssh-ed25519 AAAA...`"
        ) from error
    keys = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if "PRIVATE KEY" in content or not keys or not all(KEY.match(key) for key in keys):
        raise AnswerError(f"init_people: {name}: {text} contains no public key; name the file that ends with .pub")
    return keys


def read_bucket(word: str) -> Bucket:
    """Return the bucket of an entry ENDPOINT/REGION/BUCKET."""
    parts = word.removeprefix("https://").split("/")
    if len(parts) != 3 or not all(parts):
        raise AnswerError(
            f"init_storage: `{word}` has not the form ENDPOINT/REGION/BUCKET; write "
            "`s3.eu-central-1.amazonaws.com/eu-central-1/example-org-backups`, or `none`"
        )
    return Bucket(*parts)


def read_storage(value: t.Any) -> tuple[Bucket, ...] | None:
    """Return the buckets; None if there is no answer."""
    words = split_words(value)
    if words == ["none"]:
        return ()
    return tuple(map(read_bucket, words)) or None


def read_choice(option: str, value: t.Any, choices: Sequence[str]) -> str:
    """Return an answer that is one of a few words."""
    text = str(value or "").strip().lower()
    if text and text not in choices:
        raise AnswerError(f"{option}: `{text}` is not valid; write one of {', '.join(choices)}")
    return text


def read_user(value: t.Any) -> str:
    """Return the account with which Ansible logs in."""
    text = str(value or "").strip()
    if text and not USER.fullmatch(text):
        raise AnswerError(f"init_user: `{text}` is not a valid account; write one such as root or debian")
    return text


def read_answers(
    values: Mapping[str, t.Any], read_file: Callable[[str], str], existing: Answers
) -> tuple[Answers, list[str]]:
    """Return the answers, and the problems of those that cannot be used.

    Args:
        values: the texts by the name of the option.
        read_file: reads a file with public keys.
        existing: what the repository contains already.
    """
    problems: list[str] = []

    def attempt(function: Callable[..., t.Any], default: t.Any, *arguments: t.Any) -> t.Any:
        try:
            return function(*arguments)
        except AnswerError as error:
            problems.append(str(error))
            return default

    domain = attempt(read_domain, "", str(values.get("init_domain") or ""))
    hosts = [attempt(read_host, None, word) for word in split_words(values.get("init_hosts"))]
    sites = [
        attempt(read_site, None, word, domain or existing.domain or "example.org")
        for word in split_words(values.get("init_sites"))
    ]
    answers = Answers(
        domain=domain,
        user=attempt(read_user, "", values.get("init_user")),
        hosts=tuple(filter(None, hosts)),
        functions=attempt(read_functions, {}, values.get("init_functions")),
        applications=attempt(read_applications, {}, values.get("init_applications")),
        sites=tuple(filter(None, sites)),
        people=attempt(read_people, (), values.get("init_people"), read_file),
        dns=attempt(read_choice, "", "init_dns", values.get("init_dns"), DNS),
        storage=attempt(read_storage, None, values.get("init_storage")),
    )
    return answers, problems


def describe(answers: Answers) -> dict[str, t.Any]:
    """Return the parts of the description that the schema validates."""
    stores = {name: {"clients": name, "password": "a1b2c3d4e5f6a7b8"} for name in answers.applications}
    credentials = {"key": "key", "secret": "a1b2c3d4e5f6a7b8"}
    found: dict[str, t.Any] = {
        "domain": answers.domain,
        "sites": {site.name: {"domain": site.domain, "group": "docs"} for site in answers.sites},
        "people": [{"name": person.name, "keys": list(person.keys)} for person in answers.people],
        "databases": stores if "database" in answers.functions else {},
        "caches": stores if "cache" in answers.functions else {},
        "backup_repositories": [
            {"name": name, **bucket._asdict(), "append": credentials, "full": credentials}
            for name, bucket in name_buckets(answers.storage or ())
        ],
    }
    return found


def name_buckets(buckets: Iterable[Bucket]) -> list[tuple[str, Bucket]]:
    """Return each bucket with the name of its repository."""
    names = ("first", "second", "third", "fourth")
    return [
        (names[index] if index < len(names) else f"number-{index + 1}", bucket) for index, bucket in enumerate(buckets)
    ]


def find_description_problems(answers: Answers, schema: Schema) -> Iterator[str]:
    """Yield what preflight would refuse in the description that follows from the answers."""
    parts = describe(answers)
    groups = [*answers.groups]
    keys = {name: key for name, key in schema["properties"].items() if parts.get(name)}
    known = description.list_groups({**schema, "properties": keys, "required": []}, groups)
    for problem in description.find_problems(parts, known):
        root = re.split(r"[.\[]", problem.variable)[0]
        yield f"{OPTIONS[root]}: {problem.line()}"
