"""Kill site.yml at its tasks, start it again, and see whether it ends as a run that nobody killed.

The host is that of `make up`. It goes to and fro between two descriptions, so that a run has something to do at nearly
every task and no host has to be made anew. A try is one stage of site.yml, which alone does what it does there: one run
of the whole takes longer than the three of a try. Killed is the controller, with all that it has started there; what it
has begun on the host goes on or not, as when a controller crashes.

A try is good when the second run passes, the host is then what unkilled runs have made of it, on disk and live, and the
third run, which looks at the sites from outside too, changes nothing. At last site.yml as a whole must change nothing.
"""

from __future__ import annotations

import difflib
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import yaml

from tests.e2e.converge import ADDRESS, ADDRESS6, HOST, LISTING, OTHER, PHASE1, Ended, begun
from tools import collection
from tools.campaigns import lab

SITE = collection.ROOT / ".cache/campaigns/site"
RULE = {
    "description": "Tries to log in",
    "expression": 'http.request.uri.path eq "/login"',
    "action": "block",
    "ratelimit": {
        "characteristics": ["cf.colo.id", "ip.src"],
        "period": 10,
        "requests_per_period": 10,
        "mitigation_timeout": 10,
    },
}
APP = {"mailbox": "probe@{{ domain }}", "name": "second"}
# No two people have the same one.
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP6ZUAQ3oj0mTK5zsGCGYKvwoQ5rtBzW3R29PCGLgvQp second"
# The name www is there before its certificate is asked for, which a run does before it publishes the DNS.
EVERYWHERE = {
    "dns_extra": [
        {"type": "A", "name": "*.{{ domain }}", "value": ADDRESS},
        {"type": "AAAA", "name": "*.{{ domain }}", "value": ADDRESS6},
    ]
}
# Certificates, whose keys are new each time (LIVE asks for their names), and what tools keep of files before a change.
DRAWN = re.compile(r"/etc/(vise/tls/|letsencrypt\b|(passwd|shadow|group|gshadow|subuid|subgid)-(\s|$))")
LEAST = """
systemctl --failed --plain --no-legend
ls -d /var/lib/vise/components/*/pending.json /srv/sites/*/pending.json 2>/dev/null || true
"""
# What programs answer, not what their files say: a name and a value a line. Each differs between the descriptions.
LIVE = r"""
names() { openssl s_client "$@" </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName | tail -n 1; }
page=$(mktemp)
curl -sk -D "$page.head" -o "$page" --resolve docs.vln.test:443:$address https://docs.vln.test/
while read -r name command; do
  printf '%s\t%s\n' "$name" "$(eval "$command" 2>&1 </dev/null | tr -s '\r\n' ' ')"
done <<'END'
journal journalctl -b -o cat -u systemd-journald -g 'max [0-9.]+M' -n 1 | grep -o 'max [^,]*'
people getent passwd operator second | cut -d: -f1
ssh head -n 1 </dev/tcp/127.0.0.1/22
firewall (iptables-save; ip6tables-save) | grep -c 4242
settings runuser -u postgres -- psql -XAtc 'SHOW max_connections' -c 'SHOW work_mem'
archive systemctl show -P TimersCalendar vise-pgbackrest@incr.timer | grep -o 'OnCalendar=[^;]*'
pool vise-pgbouncer console 'SHOW CONFIG' | grep '^default_pool_size'
cache vise-redis cli CONFIG GET slowlog-max-len
users vise-redis cli ACL GETUSER edu | md5sum
containers docker info --format '{{.Labels}}'
headers grep -i '^referrer-policy' "$page.head"
page sha256sum <"$page"
visitors names -connect $address:443 -servername docs.vln.test
database names -connect $address:5432 -starttls postgres
caches names -connect $address:6379
mail docker ps -q | xargs docker inspect -f '{{.Config.Env}}' | grep -o 'LOG_LINES=[0-9]*' | sort -u
files systemctl show -P TimersCalendar 'restic-check@*.timer' | grep -o 'OnCalendar=[^;]*'
proofs systemctl show -P TimersCalendar vise-backup-verify.timer | grep -o 'OnCalendar=[^;]*'
END
rm "$page" "$page.head"
"""
# In place of a task: the last one of a stage was faster than when it was measured.
OVER = "not killed: it was over"
# Lines of a difference that are told.
SHOWN = 8


class Step(NamedTuple):
    """A task of a run that nobody killed, and the seconds until the next one."""

    name: str
    seconds: float


class State(NamedTuple):
    """What is on the host: lines of a listing, and what programs answer."""

    files: list[str]
    answers: list[str]


class Try(NamedTuple):
    """Where a run is killed: the stage, the number of its task, and at which part of that task's time."""

    stage: str
    task: int
    part: float


def described(topic: str) -> dict[str, Any]:
    """Return what group_vars say of a topic, unexpanded."""
    found: dict[str, Any] = yaml.safe_load((collection.ROOT / f"group_vars/all/{topic}.yml").read_text())
    return found


def defaults() -> dict[str, Any]:
    """Return the defaults of the description, unexpanded."""
    found: dict[str, Any] = yaml.safe_load((collection.ROOT / "roles/description/defaults/main.yml").read_text())
    return found


def changed(entries: Sequence[dict[str, Any]], **change: Any) -> list[dict[str, Any]]:
    """Return the entries with another value in each."""
    return [{**entry, **change} for entry in entries]


def descriptions() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two, as variables that win over all others.

    What stays when it is no longer described, the first takes away. Neither rotates keys of DKIM: what that comes to
    depends on the keys of before.
    """
    first = {
        **EVERYWHERE,
        "cloudflare_rules": {"http_ratelimit": []},
        "mail_relay_hosts": [{"host": "[relay.example.org]:587", "state": "absent"}],
        "mail_transports": [{"destination": "example.org", "state": "absent"}],
        "mail_domain_admins": [{"username": "second", "state": "absent"}],
        "mail_app_passwords": [{**APP, "state": "absent"}],
    }
    return first, {**EVERYWHERE, **OTHER, **second_host(), **second_data(), **second_mail()}


def second_host() -> dict[str, Any]:
    """Return what differs in the second about the host, its sites and their zone."""
    sites = described("sites")["sites"]
    people = yaml.safe_load((collection.ROOT / "group_vars/development/people.yml").read_text())["people"]
    return {
        "people": [*people, *changed(people, name="second", keys=[OTHER_KEY])],
        "ssh_settings": {"VersionAddendum": "second"},
        "internal_certificate_names": "{{ host_services.internal_names + ['second.internal'] }}",
        "docker_settings": {"labels": ["campaign=second"]},
        "sites": {**sites, "docs": {**sites["docs"], "aliases": ["www.{{ domain }}"], "source": str(SITE)}},
        "cloudflare_settings": {**defaults()["cloudflare_settings"], "minimum_tls": "1.3"},
        "cloudflare_rules": {"http_ratelimit": [RULE]},
    }


def second_data() -> dict[str, Any]:
    """Return what differs in the second about databases, caches and backups."""
    databases, caches = described("database")["databases"], described("cache")["caches"]
    return {
        "databases": {
            name: {**one, "password": "{{ vault_database_" + name + " ~ '-second' }}"}
            for name, one in databases.items()
        },
        "database_settings": {"max_connections": 123, "work_mem": "7MB"},
        "pgbackrest_schedule": {
            "full": "Sun *-*-* 01:40:00",
            "diff": "Mon..Sat *-*-* 01:40:00",
            "incr": "*-*-* 07,13,19:40:00",
            "yearly": "*-01-02 03:40:00",
        },
        "pgbouncer_pool_size": 21,
        "caches": {
            name: {**one, "password": "{{ vault_cache_" + name + " ~ '-second' }}"} for name, one in caches.items()
        },
        "redis_settings": {"slowlog-max-len": 256},
        "restic_schedules": {"backup": "*-*-* 02:10:00", "check": "*-*-* 05:10:00", "prune": "Sun *-*-* 07:10:00"},
        "backup_verify_schedule": "Sun *-*-* 04:10:00",
    }


def second_mail() -> dict[str, Any]:
    """Return what differs in the second about mail."""
    mail = described("mail")
    return {
        "mail_settings": {"LOG_LINES": 9998},
        "mail_relay_hosts": [{"host": "[relay.example.org]:587", "username": "second", "password": "second-word"}],
        "mail_transports": [{"destination": "example.org", "host": "[mx.example.org]:25"}],
        "mail_domains": changed(mail["mail_domains"], mailboxes=51),
        "mail_mailboxes": changed(mail["mail_mailboxes"], quota=101),
        "mail_aliases": [
            *mail["mail_aliases"],
            {"address": "second@{{ domain }}", "goto": ["postmaster@{{ domain }}"]},
        ],
        "mail_domain_admins": [{"username": "second", "domains": ["{{ domain }}"], "password": "second-Word-2"}],
        "mail_app_passwords": [{**APP, "password": "second-Word-2", "protocols": ["smtp"]}],
        "mail_limits": changed(mail["mail_limits"], messages=501),
    }


def stages() -> list[str]:
    """Name the playbooks of site.yml."""
    imports = yaml.safe_load((collection.ROOT / "playbooks/site.yml").read_text())
    return [one["ansible.builtin.import_playbook"].removesuffix(".yml") for one in imports]


def chosen(tasks: Mapping[str, int], times: int, seed: int) -> list[Try]:
    """Choose as many tries, spread evenly over the tasks of all stages."""
    every = [(stage, number) for stage, count in tasks.items() for number in range(1, count + 1)]
    dice = random.Random(seed)  # noqa: S311 - which task is killed is no secret
    offset = dice.random()
    places = [int((number + offset) * len(every) / times) for number in range(times)]
    return [Try(*every[place], dice.random()) for place in places]


def short(task: str) -> str:
    """Return a task by its role, or by its own name where it has none."""
    return re.sub(r"^TASK \[|\]$", "", task).partition(" : ")[0].removeprefix("vise.platform.")


def changes(output: str) -> list[str]:
    """Return what a run has changed, in order."""
    found: dict[str, None] = {}
    task = ""
    for line in output.splitlines():
        task = begun(line) or task
        if line.startswith("changed: ["):
            found[short(task)] = None
    return list(found)


def steady(listing: str) -> list[str]:
    """Return the lines of a listing that two runs to the same end have in common."""
    return [line for line in listing.splitlines() if not DRAWN.search(line)]


def unlike(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the lines that differ."""
    lines = list(difflib.unified_diff(wanted, found, "unkilled", "killed", lineterm="", n=0))[2:]
    return [line for line in lines if not line.startswith("@@")]


def state() -> State:
    """Look at the host."""
    files = lab.must(HOST, "bash -s", LISTING + LEAST)
    answers = lab.must(HOST, "bash -s", f"address={ADDRESS}\n{LIVE}")
    return State(steady(files), answers.splitlines())


def steps(lines: Iterator[str]) -> tuple[list[Step], list[str]]:
    """Read a run to its end; return its tasks with their times, and what it said."""
    said, names, moments = [], [], []
    for line in lines:
        said.append(line)
        if name := begun(line):
            names.append(name)
            moments.append(time.monotonic())
    moments.append(time.monotonic())
    seconds = [end - at for at, end in pairwise(moments)]
    return [Step(*step) for step in zip(names, seconds, strict=True)], said


def unkilled(stage: str, description: dict[str, Any]) -> list[Step]:
    """Go to a description without being killed; return the tasks."""
    child = PHASE1.start(stage, description)
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    found, said = steps(child.stdout)
    if child.wait():
        raise lab.CampaignError(f"{stage}: {''.join(said[-60:])}")
    return found


def tried(one: Try, description: dict[str, Any], delay: float, wanted: State) -> tuple[list[object], str]:
    """Kill a run, start it again, and look; return what is told of it, and what is wrong."""
    try:
        name = short(PHASE1.kill_in(one.task, delay, description, one.stage))
    except Ended:
        name = OVER
    second = PHASE1.play(one.stage, extra=description)
    found = state()
    third = PHASE1.play(one.stage, "playbooks/smoke.yml", extra=description)
    did, more = changes(second.output), changes(third.output)
    differing = [*unlike(wanted.files, found.files), *unlike(wanted.answers, found.answers)]
    wrong = [
        *([f"the second run fails: {second.tail}"] if second.code else []),
        *([f"the host differs: {', '.join(differing[:SHOWN])}"] if differing else []),
        *([f"the third run fails: {third.tail}"] if third.code else []),
        *([f"the third run changes {', '.join(more)}"] if more else []),
    ]
    told = [", ".join(did), ", ".join(more), "no" if wrong else "yes"]
    return [one.stage, name, f"{delay:.1f}", *told], "; ".join(wrong)


class Campaign:
    """Goes to and fro, and is killed on each way."""

    def __init__(self) -> None:
        SITE.mkdir(parents=True, exist_ok=True)
        (SITE / "index.html").write_text("<!doctype html><title>Second</title><p>It is live.</p>\n")
        self.first, self.second = descriptions()
        # In this order a stage goes through them: each finds the host in the first.
        self.ways = (self.second, self.first)
        self.rows: list[list[object]] = []
        self.failures: list[str] = []

    def measure(self) -> dict[str, list[list[Step]]]:
        """Go each way once; return the tasks of each stage on either."""
        found: dict[str, list[list[Step]]] = {stage: [] for stage in stages()}
        answers = []
        for description in self.ways:
            for stage in found:
                found[stage].append(unkilled(stage, description))
            answers.append(set(state().answers))
        if answers[0] & answers[1]:
            raise lab.CampaignError(f"in both descriptions the host answers {sorted(answers[0] & answers[1])}")
        return found

    def stage(self, tries: Sequence[Try], tasks: Sequence[Sequence[Step]]) -> None:
        """Go through the tries of one stage; the host ends as it begins, in the first description."""
        name = tries[0].stage
        wanted = []
        for description in self.ways:
            unkilled(name, description)
            wanted.append(state())
        for number, one in enumerate(tries):
            way = number % 2
            began = time.monotonic()
            delay = one.part * tasks[way][one.task - 1].seconds
            row, problem = tried(one, self.ways[way], delay, wanted[way])
            self.rows.append([len(self.rows) + 1, *row])
            told = f"try {len(self.rows)}, {name}, task {one.task} ({row[1]}) after {delay:.1f} s"
            print(f"{told}: {problem or 'live'}; {time.monotonic() - began:.0f} s", flush=True)
            if problem:
                self.failures.append(f"{told}: {problem}")
        unkilled(name, self.first)


def run(times: int, seed: int) -> lab.Result:
    """Kill as often, and look at all of it at the end."""
    lab.made("hosts", "docs", "secrets")
    campaign = Campaign()
    PHASE1.converge(extra=campaign.first)
    tasks = campaign.measure()
    counts = {stage: min(map(len, ways)) for stage, ways in tasks.items()}
    for stage, tries in groupby(chosen(counts, times, seed), lambda one: one.stage):
        campaign.stage(list(tries), tasks[stage])
    more = changes(PHASE1.converge(extra=campaign.first).output)
    if more:
        campaign.failures.append(f"site.yml as a whole then changes {', '.join(more)}")
    PHASE1.converge()
    live = sum(row[-1] == "yes" for row in campaign.rows)
    killed = sum(row[2] != OVER for row in campaign.rows)
    campaign.rows.append(["all", f"{sum(counts.values())} tasks", f"{killed} killed", "", "", "", f"{live} of {times}"])
    head = ("try", "stage", "killed in", "after (s)", "second run changed", "third run changed", "live")
    return lab.Result("runs", seed, head, campaign.rows, campaign.failures)
