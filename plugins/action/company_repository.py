# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the repository of a company on the controller, or add to it."""

from __future__ import annotations

import configparser
import json
import os
import re
import secrets as randomness
import typing as t
from pathlib import Path

import jinja2
import yaml
from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret, VaultSecretsContext, get_file_vault_secret
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.vise.platform.plugins.action import runbook_options
from ansible_collections.vise.platform.plugins.filter.admin_accounts import admin_accounts
from ansible_collections.vise.platform.plugins.module_utils import secret_values
from ansible_collections.vise.platform.plugins.module_utils.company_repository import answers as reading
from ansible_collections.vise.platform.plugins.module_utils.company_repository import files as writing
from ansible_collections.vise.platform.plugins.module_utils.company_repository import plan
from ansible_collections.vise.platform.plugins.module_utils.description import write_yaml
from ansible_collections.vise.platform.plugins.module_utils.host import files
from ansible_collections.vise.platform.plugins.plugin_utils import (
    extra_values,
    needed_secrets,
    vault_completion,
    vault_files,
)

COLLECTION = Path(__file__).parent.parent.parent
TEMPLATES = COLLECTION / "playbooks/templates/init"
ANSWERS = ("domain", "user", "hosts", "functions", "applications", "sites", "people", "dns", "storage")
PREFIX = "init_"
ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "folder": {"type": "path", "required": True},
    "usage": {"type": "str", "default": ""},
    **{name: {"type": "raw"} for name in ANSWERS},
    "collection": {"type": "str", "default": ""},
    "vault_password_file": {"type": "str", "default": ""},
}


class Refusal(ValueError):
    """Nothing can be written; the text has one line for each problem."""


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The company_repository action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(ARGUMENT_SPEC)
        extra = load_extra_vars(self._loader)
        names: dict[str, dict[str, str]] = {
            name: {} for name in re.findall(rf"^ +({PREFIX}\w+)", options["usage"], re.MULTILINE)
        }
        lost = [
            *extra_values.find_separated(extra, [PREFIX]),
            *runbook_options.unknown_names([name for name in extra if name.startswith(PREFIX)], names, [PREFIX]),
        ]
        if lost:
            return {"failed": True, "msg": runbook_options.message(lost, options["usage"])}
        try:
            return self._write(Path(os.path.abspath(os.path.expanduser(options["folder"]))), options)
        except (Refusal, vault_files.VaultFileError, secret_values.SecretError) as error:
            return {"failed": True, "msg": str(error)}

    def _write(self, folder: Path, options: dict[str, t.Any]) -> dict[str, t.Any]:
        if (folder / "galaxy.yml").exists():
            raise Refusal(
                f"init_folder: {folder} is a collection; write the folder of your own repository, `../platform`"
            )
        present = read_present(folder)
        existing = read_repository(present)
        whole = complete_answers(options, existing)
        password = choose_password(folder, options["vault_password_file"], existing != reading.Answers())
        settings = writing.Settings(
            version=read_version(),
            playbooks={path.stem for path in (COLLECTION / "playbooks").glob("*.yml")},
            collection=locate_collection(folder, options["collection"]),
            password_file=password.name,
        )
        render = make_renderer()
        wanted = writing.write_files(whole, settings, render)
        new = {path: text for path, text in wanted.items() if not (folder / path).exists()}
        insertions = writing.list_insertions(whole, existing, render) if existing.hosts else ()
        changed, by_hand = writing.insert_entries(
            {path: present[path] for path in present if path in wanted}, insertions
        )
        if by_hand:
            raise Refusal("\n".join(["Some files cannot be edited; nothing was written.", *by_hand]))
        outcome = vault_completion.Outcome([], {})
        if not self._task.check_mode:
            secrets = password.prepare()
            store(folder, new, changed)
            outcome = complete_vault(folder, secrets)
        made = bool(new or changed or outcome.generated)
        return {
            "changed": made,
            "folder": str(folder),
            "written": sorted(new),
            "edited": sorted(changed),
            "kept": sorted(path for path in wanted if path not in new and path not in changed),
            "generated": outcome.generated,
            "next": list_steps(folder, whole, existing, password, outcome, made),
        }


class Password:
    """The password of the vault: what the file in ansible.cfg contains, or what Ansible has been given."""

    def __init__(self, folder: Path, name: str, given: vault_files.Secrets = ()) -> None:
        """Choose the password.

        Args:
            folder: the repository.
            name: the file as ansible.cfg names it; empty without one.
            given: the passwords that the command line or the environment has given.
        """
        self.folder, self.name, self.given = folder, name, given
        self.path = folder / os.path.expanduser(name)
        self.is_new = bool(name) and not given and not self.path.exists()

    def prepare(self) -> vault_files.Secrets:
        """Return the password; generate it if its file is missing, so that only the owner can read it."""
        if self.given:
            return self.given
        if self.is_new:
            files.make_directories(str(self.path.parent))
            files.replace_file(str(self.path), f"{randomness.token_urlsafe(32)}\n", mode=vault_files.MODE)
        try:
            secret = get_file_vault_secret(filename=str(self.path), loader=DataLoader())
            secret.load()
        except AnsibleError as error:
            raise Refusal(f"{self.path}: the password of the vault cannot be read: {error}") from error
        return [("default", VaultSecret(secret.bytes))]


def choose_password(folder: Path, name: str, exists: bool) -> Password:
    """Return the password of the vault: a file of the user, what the command has given, or a new file."""
    current = VaultSecretsContext.current(optional=True)
    given = list(current.secrets or ()) if current else []
    listed = [*(context.CLIARGS.get("vault_password_files") or ()), constants.DEFAULT_VAULT_PASSWORD_FILE]
    if exists and not name:
        return find_password(folder, given)
    if name:
        if name != writing.PASSWORD_FILE and not (folder / os.path.expanduser(name)).exists():
            raise Refusal(
                f"init_vault_password_file: {name} does not exist; create it, or leave the option out to get a new one"
            )
        return Password(folder, name)
    if given:
        file = next((str(one) for one in listed if one), "")
        return Password(folder, file, given)
    return Password(folder, writing.PASSWORD_FILE)


def find_password(folder: Path, given: vault_files.Secrets) -> Password:
    """Return the password of a repository that exists; a new one would not decrypt its vault."""
    name = read_password_name(folder)
    if name and (folder / os.path.expanduser(name)).exists():
        return Password(folder, name)
    if given or not (folder / writing.VAULT).exists():
        return Password(folder, name or writing.PASSWORD_FILE, given)
    raise Refusal(
        f"The vault {writing.VAULT} exists, and its password is missing; write it into {folder}/"
        f"{name or writing.PASSWORD_FILE}, or set ANSIBLE_VAULT_PASSWORD_FILE to the file with it. Nothing was written."
    )


def read_password_name(folder: Path) -> str:
    """Return the file of the vault password that ansible.cfg of a repository names."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(folder / "ansible.cfg", encoding="utf-8")
    return config.get("defaults", "vault_password_file", fallback="")


def locate_collection(folder: Path, name: str) -> str:
    """Return the collection as requirements.yml names it: an archive in the repository by its path there."""
    if not name.endswith(".tar.gz"):
        return name or "vise.platform"
    path = os.path.abspath(os.path.expanduser(name))
    if not os.path.isfile(path):
        raise Refusal(f"init_collection: {name} does not exist; build it with `ansible-galaxy collection build`")
    relative = os.path.relpath(path, folder)
    return path if relative.startswith("..") else f"./{relative}"


def read_present(folder: Path) -> dict[str, str]:
    """Return the files of a repository that init can edit."""
    paths = [folder / writing.HOSTS, *sorted((folder / writing.TOPICS).glob("*.yml"))]
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in paths
        if path.is_file() and str(path.relative_to(folder)) != writing.VAULT
    }


def read_repository(present: dict[str, str]) -> reading.Answers:
    """Return what the files of a repository contain."""
    try:
        existing = writing.read_existing(present)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise Refusal(
            f"The files of the repository cannot be read: {text}. Run `ansible-playbook vise.platform.preflight`, "
            "which names the file and the line. Nothing was written."
        ) from error
    if writing.HOSTS in present and not existing.hosts:
        raise Refusal(
            f"{writing.HOSTS} exists and has no `all: {{hosts: ...}}`, so that init cannot add to it; choose another "
            "folder, or write the hosts below `all.hosts` and the groups below `all.children`. Nothing was written."
        )
    return existing


def complete_answers(options: dict[str, t.Any], existing: reading.Answers) -> reading.Answers:
    """Return what the repository will contain; raises Refusal with all problems and the usage."""
    given = {f"init_{name}": options[name] for name in ANSWERS}
    answers, problems = reading.read_answers(given, read_key_file, existing)
    whole, others = plan.complete(answers, existing)
    problems += [] if problems else others
    problems += reading.find_description_problems(whole, needed_secrets.load_schema(vault_completion.ROLES))
    if not problems:
        try:
            admin_accounts([{"name": one.name, "keys": list(one.keys)} for one in whole.people])
        except AnsibleError as error:
            problems.append(f"init_people: {error}")
    if problems:
        lines = [f"- {problem}" for problem in dict.fromkeys(problems)]
        usage = ["", "Usage:", options["usage"].strip()] if options["usage"] else []
        raise Refusal("\n".join(["The answers are not valid; nothing was written.", *lines, *usage]))
    return whole


def read_key_file(name: str) -> str:
    """Return the content of a file with public keys."""
    return Path(os.path.expanduser(name)).read_text(encoding="utf-8", errors="replace")


def read_version() -> str:
    """Return the version of this collection."""
    manifest = COLLECTION / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    return str(yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def make_renderer() -> writing.Render:
    """Return the function that renders templates; their delimiters are not those of the files that they write."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # the page escapes its values, and the other files are no HTML
    )
    environment.filters |= {"yaml": lambda value: write_yaml(to_plain(value)), "yaml_key": writing.write_key}
    return lambda template, variables: environment.get_template(f"{template}.j2").render(variables)


def to_plain(value: t.Any) -> t.Any:
    """Return a value without tuples."""
    return list(value) if isinstance(value, tuple) else value


def store(folder: Path, new: dict[str, str], changed: dict[str, str]) -> None:
    """Create the new files, none of which exists, and replace the edited ones; each one is complete or absent."""
    for path, text in {**new, **changed}.items():
        target = folder / path
        files.make_directories(str(target.parent))
        files.replace_file(str(target), text, mode=0o644)


def complete_vault(folder: Path, secrets: vault_files.Secrets) -> vault_completion.Outcome:
    """Generate the secrets that the written description needs."""
    loader = DataLoader()
    loader.set_basedir(str(folder))
    loader.set_vault_secrets(list(secrets))
    try:
        hosts = vault_completion.read_hosts(folder / "inventory", loader)
    except AnsibleError as error:
        raise Refusal(f"the inventory cannot be read: {error}; correct it and run init again") from error
    return vault_completion.complete_vault(hosts, folder / writing.VAULT, secrets, loader)


def list_new_records(whole: reading.Answers, existing: reading.Answers) -> list[str]:
    """Return the DNS records that the repository did not need before."""
    known = writing.list_records(existing)
    return [record for record in writing.list_records(whole) if record not in known]


def list_dns_steps(whole: reading.Answers, existing: reading.Answers) -> list[str]:
    """Return what the user has to do so that the names resolve."""
    if whole.dns == "cloudflare":
        foreign = [site.domain for site in whole.sites if not f".{site.domain}".endswith(f".{whole.domain}")]
        return [f"add the zones of {', '.join(foreign)} to dns_zones in {writing.TOPICS}/dns.yml"] if foreign else []
    records = [f"    {record}" for record in list_new_records(whole, existing)]
    head = "create these DNS records, because certificates are issued only for names that resolve:"
    return [head, *records] if records else []


def write_login(host: reading.Host, user: str) -> str:
    """Return the command that logs in to a host."""
    port = f"-p {host.port} " if host.port != reading.SSH_PORT else ""
    return f"ssh {port}{user}@{host.addresses[0]}"


def list_mail_steps(whole: reading.Answers) -> list[str]:
    """Return what only the user can do for a new mail server."""
    addresses = [address for name in whole.functions["mail"] for address in whole.host(name).addresses]
    steps = [f"set the reverse DNS of {', '.join(addresses)} to mail.{whole.domain} at the provider of the server"]
    if whole.dns != "cloudflare":
        steps.append("create the records MX, SPF, DKIM and DMARC of mail, which the page about DNS of the manual lists")
    return steps


def list_steps(
    folder: Path,
    whole: reading.Answers,
    existing: reading.Answers,
    password: Password,
    outcome: vault_completion.Outcome,
    made: bool,
) -> list[str]:
    """Return what the user has to do next, one step in each line."""
    if not made:
        return ["The repository has all of this already; nothing was changed."]
    steps = [f"cd {min(os.path.relpath(folder), str(folder), key=len)}"] if folder != Path.cwd() else []
    if password.is_new:
        steps.append(
            f"store the password of the vault, which is in {password.name}, in your password manager: without it, the "
            "secrets and the backups cannot be read"
        )
    if outcome.issued:
        steps.append(f"run `ansible-vault edit {writing.VAULT}`, and write there:")
        steps += [f"    {line}" for line in outcome.advice()]
    steps += list_dns_steps(whole, existing)
    steps += list_mail_steps(whole) if "mail" in whole.functions and "mail" not in existing.functions else []
    steps += [
        f"log in once, so that ssh knows the key of the server: `{write_login(host, whole.user)}`"
        for host in whole.hosts
        if host not in existing.hosts
    ]
    if not existing.hosts:
        steps.append("commit the folder: `git init && git add --all && git commit -m 'Describe the platform'`")
        steps.append("run `make setup`, which installs Ansible and the collection into this folder")
    publish = ["run `ansible-playbook vise.platform.publish_dns`: certificates are issued only for names that resolve"]
    steps += publish if whole.dns == "cloudflare" and list_new_records(whole, existing) else []
    return [*steps, "run `make check`, then `make converge`"]
