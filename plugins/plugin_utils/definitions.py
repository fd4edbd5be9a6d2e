# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the files of the controller that define a host's variables, and the variables that roles have."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible_collections.vise.platform.plugins.module_utils.description import is_placeholder
from ansible_collections.vise.platform.plugins.module_utils.inventory_checks import Files
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path

SUFFIXES = ("", ".yml", ".yaml", ".json")
# Plugins that read an inventory file which lists its hosts. Other plugins query a cloud or run a program.
YAML_PLUGIN, INI_PLUGIN, TOML_PLUGIN = "ansible.builtin.yaml", "ansible.builtin.ini", "ansible.builtin.toml"
# The parser in C is ten times as fast; some builds of PyYAML do not have it.
LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Ansible itself sets them for each host of an inventory file.
MAGIC = ("inventory_dir", "inventory_file")


def find_definitions(task_vars: t.Mapping[str, t.Any], loader: DataLoader) -> dict[str, str]:
    """Return the variables that files define for a host, each with the file that wins."""
    sources = [Path(str(source)) for source in task_vars.get("ansible_inventory_sources") or []]
    host, groups = task_vars["inventory_hostname"], [group for group in task_vars["group_names"] if group != "all"]
    found = read_inventories(sources, host, ["all", *groups], loader)
    for kind, names in (("group_vars", ["all"]), ("group_vars", groups), ("host_vars", [host])):
        for path in [path for base in variable_folders(task_vars) for path in find_files(base / kind, names)]:
            found |= dict.fromkeys(loader.load_from_file(str(path), cache="all") or {}, str(path))
    return found


def find_files(folder: Path, names: t.Iterable[str]) -> t.Iterator[Path]:
    """Yield the files of these groups or hosts, as Ansible finds them."""
    for path in [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]:
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(
                one
                for one in path.rglob("*")
                if one.is_file() and one.suffix in SUFFIXES and not one.name.startswith(".")
            )


def read_inventories(
    sources: t.Iterable[Path], host: str, groups: t.Collection[str], loader: DataLoader
) -> dict[str, str]:
    """Return the variables of a host and its groups in the files of the inventory, each with its file."""
    found: dict[str, str] = {}
    for path in [path for source in sources for path in inventory_files(source)]:
        inventory = read_inventory(path, loader)
        parts = [*(inventory.groups.get(group) for group in groups), inventory.hosts.get(host)]
        names = {str(name) for part in parts if part is not None for name in part.vars}
        found |= dict.fromkeys(sorted(names.difference(MAGIC)), str(path))
    return found


def inventory_files(source: Path) -> t.Iterator[Path]:
    """Yield the files of an inventory source: itself, or those of a folder that Ansible does not ignore."""
    if source.is_file():
        yield source
    elif source.is_dir():
        for path in sorted(source.iterdir()):
            ignored = path.name.startswith(".") or path.name.endswith(tuple(constants.INVENTORY_IGNORE_EXTS))
            if not ignored and path.name not in ("group_vars", "host_vars"):
                yield from inventory_files(path)


def read_inventory(path: Path, loader: DataLoader) -> InventoryData:
    """Return what an inventory file lists; nothing for the configuration of another plugin, and for a program."""
    return parse_inventory(path, inventory_plugins(path), loader)[0]


def parse_inventory(path: Path, plugins: t.Iterable[str], loader: DataLoader) -> tuple[InventoryData, str]:
    """Return what the first of these plugins reads that can read a file, or nothing and the error of the last one."""
    text = ""
    for plugin in plugins:
        inventory = InventoryData()
        try:
            inventory_loader.get(plugin).parse(inventory, loader, str(path))
        except AnsibleError as error:
            text = str(error)
            continue
        return inventory, ""
    return InventoryData(), text


def is_plugin_configuration(path: Path) -> bool:
    """Return whether a file configures an inventory plugin, which queries a cloud or runs a program."""
    if path.suffix not in SUFFIXES:
        return False
    try:
        content = load_yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(content, dict) and isinstance(content.get("plugin"), str)


def load_yaml(path: Path) -> t.Any:
    """Return the content of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506  # a safe loader


def inventory_plugins(path: Path) -> tuple[str, ...]:
    """Return the plugins that can read a file, in the order in which Ansible uses them."""
    with path.open("rb") as file:
        if file.read(2) == b"#!":
            return ()
    if path.suffix == ".toml":
        return (TOML_PLUGIN,)
    if path.suffix in SUFFIXES[1:]:
        return (YAML_PLUGIN,)
    return (INI_PLUGIN,) if path.suffix else (YAML_PLUGIN, INI_PLUGIN)


def role_options(roles: str) -> dict[str, dict[str, t.Any]]:
    """Return the specifications of the public variables of the roles in a folder, except those that playbooks set."""
    found: dict[str, dict[str, t.Any]] = {}
    for path in Path(roles).glob("*/meta/argument_specs.yml"):
        for entry in load_yaml(path)["argument_specs"].values():
            found |= entry.get("options") or {}
    for path in Path(roles).parent.glob("playbooks/*.yml"):
        used = [role for play in load_yaml(path) or [] for role in play.get("roles") or [] if isinstance(role, dict)]
        for name in {name for role in used for name in role.get("vars") or {}}:
            found.pop(name, None)
    return found


def find_option(roles: str, role: str, name: str) -> dict[str, t.Any]:
    """Return the specification of one variable of a role, also if playbooks set it."""
    return dict(load_yaml(Path(roles) / role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"][name])


def role_defaults(roles: str, role: str) -> dict[str, t.Any]:
    """Return the defaults of a role."""
    return dict(load_yaml(Path(roles) / role / "defaults/main.yml") or {})


def variable_folders(task_vars: t.Mapping[str, t.Any]) -> list[Path]:
    """Return the folders in which Ansible reads group_vars and host_vars."""
    sources = [Path(str(source)) for source in task_vars.get("ansible_inventory_sources") or []]
    folders = [source if source.is_dir() else source.parent for source in sources]
    return list(dict.fromkeys([*folders, Path(str(task_vars.get("playbook_dir") or "."))]))


def list_files(task_vars: t.Mapping[str, t.Any]) -> Files:
    """Return the groups and hosts that have files of variables, and the names of the inventory and its siblings."""
    found: dict[str, dict[str, str]] = {"group_vars": {}, "host_vars": {}}
    for base in variable_folders(task_vars):
        for kind, names in found.items():
            for path in sorted((base / kind).glob("[!.]*")):
                if path.suffix in SUFFIXES or path.is_dir():
                    names.setdefault(path.name if path.is_dir() else path.stem, shorten_path(str(path)))
    sources = [
        Path(str(source)) for source in task_vars.get("ansible_inventory_sources") or [] if "," not in str(source)
    ]
    folders = [source if source.is_dir() else source.parent for source in sources]
    siblings = [one.name for folder in folders for one in folder.parent.glob("*/")]
    environments = [name for path in (*folders, *sources) if (name := path.stem) in found["group_vars"]]
    return Files(found["group_vars"], found["host_vars"], next(iter(environments), ""), siblings)


def find_plaintext_secrets(path: Path) -> list[str]:
    """Return the secrets that a file defines and that are not encrypted; those of templates are located elsewhere."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT;"):
        return []
    try:
        node = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError:
        node = None
    if not isinstance(node, yaml.MappingNode):
        return re.findall(r"^\s*(?:\S+ )*(vault_\w+)\s*=(?!.*\{\{)", text, re.MULTILINE)
    return sorted(set(secrets_in(node)))


def secrets_in(node: yaml.Node) -> t.Iterator[str]:
    """Yield the keys with the prefix `vault_` whose values are plain text, at any depth."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if str(key.value).startswith("vault_"):
            if any(map(is_plaintext, leaves(value))):
                yield str(key.value)
        else:
            yield from secrets_in(value)


def leaves(node: yaml.Node) -> t.Iterator[yaml.ScalarNode]:
    """Yield the scalars of a node."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    else:
        for part in node.value:
            yield from leaves(part[1] if isinstance(part, tuple) else part)


def is_plaintext(node: yaml.ScalarNode) -> bool:
    """Return whether a value is neither encrypted by Ansible Vault or SOPS, nor an expression, nor a placeholder."""
    return not (
        node.tag == "!vault" or "{{" in node.value or node.value.startswith("ENC[") or is_placeholder(node.value)
    )
