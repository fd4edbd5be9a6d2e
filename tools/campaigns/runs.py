"""Kill site.yml in its tasks, run it again, and check whether the result is the same as without the kill.

The host is that of `make up`. The runs alternate between two descriptions, so that nearly every task has something to
change and no new host is needed. A try covers one stage of site.yml, because one run of the complete site.yml takes
longer than the three runs of a try. The controller is killed with all its processes; processes that it started on the
host may continue or not, as after a crash of a controller.

A try is successful when the second run passes, the files and services of the host are then the same as after unkilled
runs, and the third run, which also probes the sites from outside, changes nothing. At the end, the complete site.yml
must change nothing.
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
# A second key, because each person needs a different one.
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP6ZUAQ3oj0mTK5zsGCGYKvwoQ5rtBzW3R29PCGLgvQp second"
# The name www must resolve before its certificate is requested, and a run publishes the DNS only afterwards.
EVERYWHERE = {
    "dns_extra": [
        {"type": "A", "name": "*.{{ domain }}", "value": ADDRESS},
        {"type": "AAAA", "name": "*.{{ domain }}", "value": ADDRESS6},
    ]
}
# Certificates, whose keys are random (LIVE compares their names instead), and backup copies that tools make of files.
VOLATILE = re.compile(r"/etc/(vise/tls/|letsencrypt\b|(passwd|shadow|group|gshadow|subuid|subgid)-(\s|$))")
LEFTOVERS = """
systemctl --failed --plain --no-legend
ls -d /var/lib/vise/components/*/pending.json /srv/sites/*/pending.json 2>/dev/null || true
"""
# Answers of running programs instead of the content of files: one name and value per line. Each differs between the two
# descriptions. An account that was removed from the description stays, expired on the first day.
LIVE = r"""
names() { openssl s_client "$@" </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName | tail -n 1; }
page=$(mktemp)
curl -sk -D "$page.head" -o "$page" --resolve docs.vln.test:443:$address https://docs.vln.test/
while read -r name command; do
  printf '%s\t%s\n' "$name" "$(eval "$command" 2>&1 </dev/null | tr -s '\r\n' ' ')"
done <<'END'
journal journalctl -b -o cat -u systemd-journald -g 'max [0-9.]+M' -n 1 | grep -o 'max [^,]*'
people awk -F: '$1 ~ /^(operator|second)$/ && $8 != 1 { print $1 }' /etc/shadow
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
# Instead of a task's name: the last task of a stage ended earlier than in the measurement.
ENDED = "not killed: the run had ended"
# Maximum of reported lines of a difference.
MAX_LINES = 8


class Step(NamedTuple):
    """A task of an unkilled run, and the seconds until the next task."""

    name: str
    seconds: float


class State(NamedTuple):
    """State of the host: lines of a listing of files, and answers of programs."""

    files: list[str]
    answers: list[str]


class Try(NamedTuple):
    """Point of a kill: the stage, the number of the task, and the fraction of its duration."""

    stage: str
    task: int
    part: float


def read_group_vars(topic: str) -> dict[str, Any]:
    """Return the variables of a file in group_vars/all, without templating."""
    found: dict[str, Any] = yaml.safe_load((collection.ROOT / f"group_vars/all/{topic}.yml").read_text())
    return found


def read_defaults() -> dict[str, Any]:
    """Return the defaults of the description, unexpanded."""
    found: dict[str, Any] = yaml.safe_load((collection.ROOT / "roles/description/defaults/main.yml").read_text())
    return found


def replace_values(entries: Sequence[dict[str, Any]], **change: Any) -> list[dict[str, Any]]:
    """Return the entries with the given values replaced in each."""
    return [{**entry, **change} for entry in entries]


def descriptions() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two descriptions, as extra variables.

    Objects that are not removed automatically are removed explicitly by the first one. Neither rotates DKIM keys,
    because the result depends on the earlier keys.
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
    """Return the differences of the second description in the host, its sites and their zone."""
    sites = read_group_vars("sites")["sites"]
    people = yaml.safe_load((collection.ROOT / "group_vars/development/people.yml").read_text())["people"]
    return {
        "people": [*people, *replace_values(people, name="second", keys=[OTHER_KEY])],
        "ssh_settings": {"VersionAddendum": "second"},
        "internal_certificate_names": "{{ host_services.internal_names + ['second.internal'] }}",
        "docker_settings": {"labels": ["campaign=second"]},
        "sites": {**sites, "docs": {**sites["docs"], "aliases": ["www.{{ domain }}"], "source": str(SITE)}},
        "cloudflare_settings": {**read_defaults()["cloudflare_settings"], "minimum_tls": "1.3"},
        "cloudflare_rules": {"http_ratelimit": [RULE]},
    }


def second_data() -> dict[str, Any]:
    """Return the differences of the second description in databases, caches and backups."""
    databases, caches = read_group_vars("database")["databases"], read_group_vars("cache")["caches"]
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
    """Return the differences of the second description in mail."""
    mail = read_group_vars("mail")
    return {
        "mail_settings": {"LOG_LINES": 9998},
        "mail_relay_hosts": [{"host": "[relay.example.org]:587", "username": "second", "password": "second-word"}],
        "mail_transports": [{"destination": "example.org", "host": "[mx.example.org]:25"}],
        "mail_domains": replace_values(mail["mail_domains"], mailboxes=51),
        "mail_mailboxes": replace_values(mail["mail_mailboxes"], quota=101),
        "mail_aliases": [
            *mail["mail_aliases"],
            {"address": "second@{{ domain }}", "goto": ["postmaster@{{ domain }}"]},
        ],
        "mail_domain_admins": [{"username": "second", "domains": ["{{ domain }}"], "password": "second-Word-2"}],
        "mail_app_passwords": [{**APP, "password": "second-Word-2", "protocols": ["smtp"]}],
        "mail_limits": replace_values(mail["mail_limits"], messages=501),
    }


def list_stages() -> list[str]:
    """Return the names of the playbooks that site.yml imports."""
    imports = yaml.safe_load((collection.ROOT / "playbooks/site.yml").read_text())
    word = "ansible.builtin.import_playbook"
    return [one[word].removesuffix(".yml") for one in imports if word in one]


def choose_tries(tasks: Mapping[str, int], times: int, seed: int) -> list[Try]:
    """Choose `times` tries, spread evenly over the tasks of all stages."""
    every = [(stage, number) for stage, count in tasks.items() for number in range(1, count + 1)]
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    offset = rng.random()
    places = [int((number + offset) * len(every) / times) for number in range(times)]
    return [Try(*every[place], rng.random()) for place in places]


def shorten(task: str) -> str:
    """Return the role of a task, or the task's name if it belongs to no role."""
    return re.sub(r"^TASK \[|\]$", "", task).partition(" : ")[0].removeprefix("vise.platform.")


def list_changes(output: str) -> list[str]:
    """Return the roles or tasks that a run has changed, in order."""
    found: dict[str, None] = {}
    task = ""
    for line in output.splitlines():
        task = begun(line) or task
        if line.startswith("changed: ["):
            found[shorten(task)] = None
    return list(found)


def filter_listing(listing: str) -> list[str]:
    """Return the lines of a listing without those that differ between equal runs."""
    return [line for line in listing.splitlines() if not VOLATILE.search(line)]


def diff_lines(expected: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the lines that differ, as in a unified diff."""
    lines = list(difflib.unified_diff(expected, found, "unkilled", "killed", lineterm="", n=0))[2:]
    return [line for line in lines if not line.startswith("@@")]


def read_state() -> State:
    """Return the state of the host."""
    files = lab.run_or_raise(HOST, "bash -s", LISTING + LEFTOVERS)
    answers = lab.run_or_raise(HOST, "bash -s", f"address={ADDRESS}\n{LIVE}")
    return State(filter_listing(files), answers.splitlines())


def read_steps(output: Iterator[str]) -> tuple[list[Step], list[str]]:
    """Read the output of a run to its end; return its tasks with their seconds, and its lines."""
    lines, names, times = [], [], []
    for line in output:
        lines.append(line)
        if name := begun(line):
            names.append(name)
            times.append(time.monotonic())
    times.append(time.monotonic())
    seconds = [end - at for at, end in pairwise(times)]
    return [Step(*step) for step in zip(names, seconds, strict=True)], lines


def run_unkilled(stage: str, description: dict[str, Any]) -> list[Step]:
    """Run a stage with a description without a kill; return its tasks."""
    child = PHASE1.start(stage, description)
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    found, lines = read_steps(child.stdout)
    if child.wait():
        raise lab.CampaignError(f"{stage}: {''.join(lines[-60:])}")
    return found


def run_try(one: Try, description: dict[str, Any], delay: float, expected: State) -> tuple[list[object], str]:
    """Kill a run, run it twice more and compare; return the table row and the problems (empty for none)."""
    try:
        name = shorten(PHASE1.kill_in(one.task, delay, description, one.stage))
    except Ended:
        name = ENDED
    second = PHASE1.play(one.stage, extra=description)
    found = read_state()
    third = PHASE1.play(one.stage, "playbooks/smoke.yml", extra=description)
    second_changes, more = list_changes(second.output), list_changes(third.output)
    differences = [*diff_lines(expected.files, found.files), *diff_lines(expected.answers, found.answers)]
    problems = [
        *([f"the second run fails: {second.tail}"] if second.code else []),
        *([f"the host differs: {', '.join(differences[:MAX_LINES])}"] if differences else []),
        *([f"the third run fails: {third.tail}"] if third.code else []),
        *([f"the third run changes {', '.join(more)}"] if more else []),
    ]
    row = [", ".join(second_changes), ", ".join(more), "no" if problems else "yes"]
    return [one.stage, name, f"{delay:.1f}", *row], "; ".join(problems)


class Campaign:
    """A campaign of kills with alternating descriptions."""

    def __init__(self) -> None:
        SITE.mkdir(parents=True, exist_ok=True)
        (SITE / "index.html").write_text("<!doctype html><title>Second</title><p>It is live.</p>\n")
        self.first, self.second = descriptions()
        # The order in each stage, which starts with the host in the first description.
        self.descriptions = (self.second, self.first)
        self.rows: list[list[object]] = []
        self.failures: list[str] = []

    def measure(self) -> dict[str, list[list[Step]]]:
        """Run all stages with each description once; return the tasks of each stage for both."""
        found: dict[str, list[list[Step]]] = {stage: [] for stage in list_stages()}
        answers = []
        for description in self.descriptions:
            for stage in found:
                found[stage].append(run_unkilled(stage, description))
            answers.append(set(read_state().answers))
        if answers[0] & answers[1]:
            raise lab.CampaignError(f"answers are the same in both descriptions: {sorted(answers[0] & answers[1])}")
        return found

    def stage(self, tries: Sequence[Try], tasks: Sequence[Sequence[Step]]) -> None:
        """Run the tries of one stage; at the end, the host is in the first description again."""
        name = tries[0].stage
        expected = []
        for description in self.descriptions:
            run_unkilled(name, description)
            expected.append(read_state())
        for number, one in enumerate(tries):
            index = number % 2
            started = time.monotonic()
            delay = one.part * tasks[index][one.task - 1].seconds
            row, problem = run_try(one, self.descriptions[index], delay, expected[index])
            self.rows.append([len(self.rows) + 1, *row])
            label = f"try {len(self.rows)}, {name}, task {one.task} ({row[1]}) after {delay:.1f} s"
            print(f"{label}: {problem or 'correct'}; {time.monotonic() - started:.0f} s", flush=True)
            if problem:
                self.failures.append(f"{label}: {problem}")
        run_unkilled(name, self.first)


def run(times: int, seed: int) -> lab.Result:
    """Run the campaign; at the end, the complete site.yml must change nothing."""
    lab.run_make("hosts", "docs", "secrets")
    campaign = Campaign()
    PHASE1.converge(extra=campaign.first)
    tasks = campaign.measure()
    counts = {stage: min(map(len, both)) for stage, both in tasks.items()}
    for stage, tries in groupby(choose_tries(counts, times, seed), lambda one: one.stage):
        campaign.stage(list(tries), tasks[stage])
    more = list_changes(PHASE1.converge(extra=campaign.first).output)
    if more:
        campaign.failures.append(f"afterwards the complete site.yml changes {', '.join(more)}")
    PHASE1.converge()
    correct = sum(row[-1] == "yes" for row in campaign.rows)
    killed = sum(row[2] != ENDED for row in campaign.rows)
    campaign.rows.append(
        ["all", f"{sum(counts.values())} tasks", f"{killed} killed", "", "", "", f"{correct} of {times}"]
    )
    head = ("try", "stage", "killed in", "after (s)", "second run changed", "third run changed", "correct")
    return lab.Result("runs", seed, head, campaign.rows, campaign.failures)
