# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find why Ansible would run less than a user wants, without an error: unread files, options that match nothing."""

from __future__ import annotations

import fnmatch
import os
import re
import typing as t
from pathlib import Path

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecretsContext
from ansible.playbook import Playbook
from ansible.vars.manager import VariableManager
from ansible_collections.vise.platform.plugins.module_utils.description import nearest
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path
from ansible_collections.vise.platform.plugins.plugin_utils import definitions

Groups = t.Mapping[str, t.Sequence[str]]

# The playbooks of this collection
PLAYBOOKS = Path(__file__).parent.parent.parent / "playbooks"
SPECIAL_TAGS = {"all", "always", "never", "tagged", "untagged"}
VAULT_HEADER = b"$ANSIBLE_VAULT;"
# The inventory that Ansible reads if no other one is given
DEFAULT_INVENTORY = "/etc/ansible/hosts"
GROUP_KEYS = {"children", "hosts", "vars"}
DECRYPTION_ADVICE = "set ANSIBLE_VAULT_PASSWORD_FILE to the file with the password, or add --ask-vault-pass"


def runs_no_task() -> bool:
    """Return whether ansible-playbook only checks the syntax or lists plays, which needs no inventory."""
    return any(context.CLIARGS.get(name) for name in ("syntax", "listhosts", "listtasks", "listtags"))


def find_run_problems(groups: Groups, sources: t.Iterable[str], playbooks: Path) -> list[str]:
    """Return why the inventory, or a file with variables of its groups and hosts, cannot be read completely."""
    sources = [str(source) for source in sources]
    problems = find_inventory_problems(sources)
    hosts = list(groups.get("all") or ())
    if not (problems or hosts):
        problems.append(
            f"the inventory {', '.join(map(shorten_path, sources))} has no host; "
            "add the hosts to it, each in the groups of its functions: `edge: {hosts: {web-1: {}}}`"
        )
    return list(dict.fromkeys([*problems, *find_variable_problems(variable_files(groups, sources, playbooks))]))


def find_inventory_problems(sources: t.Iterable[str]) -> list[str]:
    """Return why the sources of the inventory cannot be read."""
    problems = []
    # A source with a comma is a list of hosts.
    for source in [Path(source) for source in sources if "," not in source]:
        if source.exists():
            problems += [line for path in definitions.inventory_files(source) for line in check_inventory(path)]
        elif str(source) == DEFAULT_INVENTORY:
            problems.append("no inventory is given; write `-i inventories/production`")
        else:
            siblings = [one.name for one in source.parent.glob("*")] if source.parent.is_dir() else []
            meant = nearest(source.name, siblings)
            advice = f"did you mean `{shorten_path(str(source.parent / meant))}`?" if meant else "correct `-i`"
            problems.append(f"the inventory {shorten_path(str(source))} does not exist; {advice}")
    return problems


def check_inventory(path: Path) -> list[str]:
    """Return why a file of the inventory cannot be read."""
    plugins = definitions.inventory_plugins(path)
    if not plugins:
        advice = f"run `chmod +x {shorten_path(str(path))}`"
        return [] if os.access(path, os.X_OK) else [f"{shorten_path(str(path))}: is not executable; {advice}"]
    if definitions.YAML_PLUGIN in plugins and (problems := check_variables(path)):
        # The format of a file without a suffix is unknown; INI is no valid YAML.
        return problems if len(plugins) == 1 else explain_inventory(path, plugins[1:])
    if definitions.is_plugin_configuration(path):
        return []
    if problems := explain_inventory(path, plugins):
        return problems
    content = definitions.load_yaml(path) if definitions.YAML_PLUGIN in plugins else {}
    return [f"{shorten_path(str(path))}: {line}" for line in find_ignored_groups(content)]


def find_ignored_groups(content: t.Any, path: str = "") -> t.Iterator[str]:
    """Yield the parts of a YAML inventory that Ansible ignores with a warning."""
    for name, group in content.items() if isinstance(content, dict) else ():
        place = f"{path}{name}"
        if group is None:
            continue
        if not isinstance(group, dict):
            yield f"group {place} is no mapping; write `{name}: {{hosts: {{...}}}}`"
            continue
        for key in group.keys() - GROUP_KEYS:
            yield f"group {place} has the unknown key `{key}`; write one of {', '.join(sorted(GROUP_KEYS))}"
        yield from find_ignored_groups(group.get("children"), f"{place}.children.")


def explain_inventory(path: Path, plugins: t.Iterable[str]) -> list[str]:
    """Return why Ansible cannot read the hosts and groups of a file."""
    _inventory, error = definitions.parse_inventory(path, plugins, DataLoader())
    text = " ".join(error.replace(str(path), shorten_path(str(path))).split()).rstrip(".")
    return [f"{shorten_path(str(path))}: the inventory cannot be read: {text}; correct the file"] if error else []


def variable_files(groups: Groups, sources: t.Iterable[str], playbooks: Path) -> list[Path]:
    """Return the files with variables of the groups and hosts of the inventory."""
    paths = [Path(source) for source in sources if "," not in source]
    bases = dict.fromkeys([*(path if path.is_dir() else path.parent for path in paths), playbooks])
    kinds = (("group_vars", groups), ("host_vars", groups.get("all") or ()))
    return [file for base in bases for kind, names in kinds for file in definitions.find_files(base / kind, names)]


def find_variable_problems(paths: t.Iterable[Path]) -> list[str]:
    """Return why files with variables cannot be read completely."""
    return [line for path in paths for line in check_variables(path)]


def check_variables(path: Path) -> list[str]:
    """Return why a file is no valid mapping in YAML, with the line; of a key that is written twice, one is ignored."""
    name = shorten_path(str(path))
    try:
        content = path.read_bytes()
        if content.startswith(VAULT_HEADER):
            content = decrypt(content)
        text = content.decode("utf-8")
        node = yaml.compose(text, Loader=definitions.LOADER)
    except OSError as error:
        return [f"{name}: cannot be read: {error.strerror}; correct the owner or the mode of the file"]
    except UnicodeDecodeError as error:
        return [f"{name}: is not UTF-8 at byte {error.start}; save the file as UTF-8"]
    except AnsibleError as error:
        return [f"{name}: cannot be decrypted: {str(error).strip().rstrip('.')}; {DECRYPTION_ADVICE}"]
    except yaml.YAMLError as error:
        return [describe_syntax(name, text, error)]
    if node is not None and not isinstance(node, yaml.MappingNode) and node.tag != "tag:yaml.org,2002:null":
        return [f"{name}: is not a mapping; write one `name: value` for each variable"]
    return [f"{name}, line {line}: `{key}` is defined twice; remove one" for key, line in find_duplicates(node)]


def decrypt(content: bytes) -> bytes:
    """Return the text of an encrypted file; raises AnsibleError without its password."""
    vault = VaultSecretsContext.current(optional=True)
    return bytes(VaultLib(vault.secrets if vault else None).decrypt(content))


def describe_syntax(name: str, text: str, error: yaml.YAMLError) -> str:
    """Return an error in the syntax of YAML with its line and column."""
    if not (mark := getattr(error, "problem_mark", None)):
        return f"{name}: the YAML is not valid: {' '.join(str(error).split())}; correct it"
    place = f"{name}, line {mark.line + 1}, column {mark.column + 1}"
    if "".join(text.splitlines()[mark.line : mark.line + 1])[mark.column :].startswith("\t"):
        return f"{place}: the YAML is not valid: the line is indented by a tab; write spaces"
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    return f"{place}: the YAML is not valid: {', '.join(filter(None, parts))}; correct this line or the one above it"


def find_duplicates(node: yaml.Node | None) -> t.Iterator[tuple[str, int]]:
    """Yield each key that a mapping has twice, with the line of the second one."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from find_duplicates(one)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen and key.value != "<<":
                yield str(key.value), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
            yield from find_duplicates(value)


def find_unmatched_limits(limit: str, groups: Groups) -> list[str]:
    """Return the parts of --limit that match no host."""
    names = {"localhost", *groups, *(host for hosts in groups.values() for host in hosts)}
    problems = []
    for pattern in split_host_pattern(limit or ""):
        text = pattern.lstrip("!&")
        matches = match_names(text, names)
        if text.startswith("@") or any(name not in groups or groups[name] for name in matches):
            continue
        meant = nearest(text, names)
        fault = f"group {matches[0]} has no host" if matches else "no host or group of the inventory has this name"
        advice = f"did you mean `{meant}`?" if meant and not matches else "correct it"
        problems.append(f"--limit {text}: {fault}; {advice}")
    return problems


def match_names(pattern: str, names: t.Iterable[str]) -> list[str]:
    """Return the hosts and groups that a pattern matches: a glob, part of a group, or a regular expression after ~."""
    if pattern.startswith("~"):
        return [name for name in names if re.match(pattern[1:], name)]
    whole = re.sub(r"\[-?[0-9]*(:-?[0-9]*)?\]$", "", pattern)
    return [name for name in names if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, whole)]


def find_unmatched_tags(tags: t.Iterable[str], skipped: t.Iterable[str]) -> list[str]:
    """Return the tags of the command that no task has."""
    wanted = {**dict.fromkeys(skipped, "--skip-tags"), **dict.fromkeys(tags, "--tags")}
    known = SPECIAL_TAGS | collection_tags(PLAYBOOKS)
    if set(wanted) - known:
        known |= own_tags(context.CLIARGS.get("args") or ())
    return [
        f"{option} {tag}: no task has this tag; "
        + (f"did you mean `{meant}`?" if (meant := nearest(tag, known)) else f"use one of {', '.join(sorted(known))}")
        for tag, option in wanted.items()
        if tag not in known
    ]


def collection_tags(folder: Path) -> set[str]:
    """Return the tags of plays, roles and tasks in a folder of playbooks."""
    plays = [play for path in folder.glob("*.yml") for play in definitions.load_yaml(path) or []]
    parts = [part for play in plays for part in (play, *(play.get("roles") or []), *(play.get("tasks") or []))]
    return {tag for part in parts if isinstance(part, dict) for tag in list_tags(part.get("tags"))}


def list_tags(value: t.Any) -> list[str]:
    """Return the tags of a keyword `tags`: a list, or words between commas."""
    return [tag.strip() for tag in value.split(",")] if isinstance(value, str) else list(value or ())


def own_tags(playbooks: t.Iterable[str]) -> set[str]:
    """Return the tags of a user's own playbooks, which may import those of the collection."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=())
    variables = VariableManager(loader=loader, inventory=inventory)
    found: set[str] = set()
    for path in [path for path in playbooks if os.path.isfile(path)]:
        for play in Playbook.load(path, variable_manager=variables, loader=loader).get_plays():
            found |= {*play.tags, *(tag for block in play.compile() for tag in block_tags(block))}
    return found


def block_tags(block: t.Any) -> t.Iterator[str]:
    """Yield the tags of all tasks of a block."""
    for task in [*block.block, *block.rescue, *block.always]:
        yield from block_tags(task) if hasattr(task, "block") else task.tags
