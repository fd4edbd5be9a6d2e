#!/usr/bin/env python3
"""Write the pages of the manual that are generated: the diagrams and the keys of the description, roles, plugins.

Usage: python -m tools.docs_pages                  reads the checkout, writes docs/reference/ and docs/generated/
       python -m tools.docs_pages ENVIRONMENT...   writes the diagrams of these environments to .cache/diagrams/ only

The site is public: it has the diagram of the sandbox, and no host of any other environment.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
import yaml
from antsibull_docs_parser.md import to_md
from antsibull_docs_parser.parser import Context, parse

from tools import description_page, description_schema

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "vise.platform"
# The only environment whose hosts are not a secret: the sandbox.
PUBLISHED = "development"
DEFAULTS = "roles/description/defaults/main.yml"
# What a section of the reference is called; plugin types not named here have no page.
PLUGIN_TYPES = {
    "module": "Module",
    "inventory": "Inventory plugin",
    "filter": "Filter",
    "lookup": "Lookup",
    "callback": "Callback",
}

Spec = Mapping[str, Any]


# The description: what exists (group_vars) and where it runs (inventories)


@dataclass(frozen=True)
class Host:
    """A host of one environment and the functions that it has there."""

    name: str
    address: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """A name that visitors use, the group whose hosts answer for it, and the group that visitors reach."""

    domain: str
    group: str
    entrance: str = "edge"


@dataclass(frozen=True)
class Topology:
    """One environment, as far as the diagram tells it."""

    environment: str
    sites: tuple[Site, ...]
    hosts: tuple[Host, ...]
    ports: Mapping[str, tuple[str, ...]]

    def open_ports(self, host: Host) -> tuple[str, ...]:
        """Return what the firewall lets in from everywhere on this host."""
        named = [port for group in ("all", *host.groups) for port in self.ports.get(group, ())]
        return tuple(dict.fromkeys(named))


class DescriptionLoader(yaml.SafeLoader):
    """YAML as Ansible writes it: secrets and other tagged values are not the manual's business."""


DescriptionLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def load(path: Path) -> dict[str, Any]:
    """Return one YAML file's mapping; an empty file is an empty mapping."""
    # DescriptionLoader is a SafeLoader.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=DescriptionLoader) or {}  # noqa: S506


def description(root: Path, environment: str) -> dict[str, Any]:
    """Return the description of an environment: the defaults, overridden by group_vars/all and by its own folder."""
    found = load(root / DEFAULTS)
    for folder in ("all", environment):
        for path in sorted((root / "group_vars" / folder).glob("*.yml")):
            found |= load(path)
    return found


def rendered(value: Any, variables: Spec) -> Any:
    """Return value with its `{{ }}` filled in from variables; what needs a running Ansible stays as written."""
    if isinstance(value, Mapping):
        return {key: rendered(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item, variables) for item in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    try:
        text = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(value)  # noqa: S701 - text, not HTML
        filled = text.render(variables)
    except jinja2.TemplateError:
        return value
    return rendered(filled, variables) if filled != value else value


def group_members(inventory: Spec) -> Iterator[tuple[str, str, Spec]]:
    """Yield (group, host, host's variables) for every membership in a YAML inventory, parents included."""

    def walk(groups: Spec, above: tuple[str, ...]) -> Iterator[tuple[str, str, Spec]]:
        for name, group in groups.items():
            for host, variables in ((group or {}).get("hosts") or {}).items():
                yield from ((member, host, variables or {}) for member in (*above, name))
            yield from walk((group or {}).get("children") or {}, (*above, name))

    yield from walk(inventory, ())


def hosts_of(inventory: Spec, environment: str) -> tuple[Host, ...]:
    """Return the inventory's hosts in its order, with the groups that are functions."""
    groups: dict[str, list[str]] = {}
    addresses: dict[str, str] = {}
    for group, host, variables in group_members(inventory):
        memberships = groups.setdefault(host, [])
        if group not in ("all", environment, *memberships):
            memberships.append(group)
        addresses[host] = str(variables.get("ansible_host", addresses.get(host, "")))
    return tuple(Host(name, addresses[name], tuple(sorted(members))) for name, members in groups.items())


def topology(environment: str, variables: Spec, inventory: Spec) -> Topology:
    """Return what the diagram of one environment shows."""
    known = rendered(variables, variables)
    described = (known.get("sites") or {}).values()
    sites = tuple(Site(site["domain"], site.get("group", ""), site.get("entrance", "edge")) for site in described)
    ports = {group: tuple(str(port) for port in ports) for group, ports in (known.get("open_ports") or {}).items()}
    return Topology(environment, sites, hosts_of(inventory, environment), ports)


# The diagram


# Three columns are as wide as a page of the manual.
WIDTH, GAP, LINE, PAD = 196, 48, 18, 10
LINE_COLOUR = "var(--vp-c-border, #c2c2c4)"
TEXT_COLOUR = "var(--vp-c-text-1, #3c3c43)"


@dataclass(frozen=True)
class Box:
    """A titled box at its place in the drawing."""

    title: str
    lines: tuple[str, ...]
    x: int
    y: int

    @property
    def height(self) -> int:
        """Return the height that the text needs."""
        return 2 * PAD + LINE * (1 + len(self.lines))

    @property
    def middle(self) -> int:
        """Return where a line meets the box."""
        return self.y + self.height // 2


def column(number: int, contents: list[tuple[str, list[str]]]) -> dict[str, Box]:
    """Return the boxes of one column by title, one below the other under the column's heading."""
    boxes: dict[str, Box] = {}
    y = 2 * LINE
    for title, paragraphs in contents:
        lines = tuple(line for text in paragraphs for line in textwrap.wrap(text, 28))
        boxes[title] = Box(title, lines, number * (WIDTH + GAP) + 1, y)
        y += boxes[title].height + LINE
    return boxes


def host_lines(plan: Topology, host: Host) -> list[str]:
    """Return what the diagram says of a host."""
    opened = ", ".join(plan.open_ports(host))
    return [text for text in (host.address, ", ".join(host.groups), opened and f"open: {opened}") if text]


def columns_of(plan: Topology) -> list[tuple[str, dict[str, Box]]]:
    """Return the columns from the visitor inwards; hosts that are the edge themselves stand only there."""
    reached = {"edge", *(site.entrance for site in plan.sites)}
    edge = [host for host in plan.hosts if reached & set(host.groups)]
    inner = [host for host in plan.hosts if not reached & set(host.groups)]
    named: list[tuple[str, list[tuple[str, list[str]]]]] = [
        ("Sites", [(site.domain, []) for site in plan.sites]),
        ("Edge", [(host.name, host_lines(plan, host)) for host in edge]),
        ("Behind it", [(host.name, host_lines(plan, host)) for host in inner]),
    ]
    return [(title, column(number, boxes)) for number, (title, boxes) in enumerate(pair for pair in named if pair[1])]


def connections(plan: Topology) -> list[tuple[str, str]]:
    """Return which boxes a line joins: sites with the hosts that visitors reach, and these with those that serve."""
    found: dict[tuple[str, str], None] = {}
    for site in plan.sites:
        reached = [host for host in plan.hosts if site.entrance in host.groups]
        inner = [host for host in plan.hosts if site.group in host.groups and site.entrance not in host.groups]
        found |= dict.fromkeys((site.domain, host.name) for host in reached)
        found |= dict.fromkeys((a.name, b.name) for a in reached if site.group not in a.groups for b in inner)
    return list(found)


def draw_box(svg: ElementTree.Element, box: Box) -> None:
    """Add one box and its text."""
    place = {"x": str(box.x), "y": str(box.y), "width": str(WIDTH), "height": str(box.height), "rx": "8"}
    ElementTree.SubElement(svg, "rect", place | {"fill": "var(--vp-c-bg-soft, #f6f6f7)", "stroke": LINE_COLOUR})
    for number, line in enumerate((box.title, *box.lines)):
        weight = {"font-weight": "600"} if number == 0 else {"font-size": "12"}
        draw_text(svg, line, box.x + PAD, box.y + PAD + LINE * (number + 1) - 5, weight)


def draw_text(svg: ElementTree.Element, text: str, x: int, y: int, style: Mapping[str, str]) -> None:
    """Add one line of text."""
    element = ElementTree.SubElement(svg, "text", {"x": str(x), "y": str(y), "fill": TEXT_COLOUR, **style})
    element.text = text


def diagram(plan: Topology) -> str:
    """Return the drawing as one line of SVG: colours follow the manual's theme, and stand alone without it."""
    columns = columns_of(plan)
    boxes = {title: box for _, column_boxes in columns for title, box in column_boxes.items()}
    width = len(columns) * (WIDTH + GAP) - GAP + 2
    height = max((box.y + box.height for box in boxes.values()), default=0) + 1
    label = f"The {plan.environment} environment: sites, edge and hosts"
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "font-family": "inherit, sans-serif",
            "font-size": "14",
            "role": "img",
            "aria-label": label,
        },
    )
    for number, (title, _) in enumerate(columns):
        draw_text(svg, title, number * (WIDTH + GAP) + 1, LINE, {"font-weight": "600"})
    for start, end in connections(plan):
        a, b = boxes[start], boxes[end]
        x, middle = a.x + WIDTH, a.x + WIDTH + GAP // 2
        path = f"M {x} {a.middle} C {middle} {a.middle} {middle} {b.middle} {b.x} {b.middle}"
        ElementTree.SubElement(svg, "path", {"d": path, "fill": "none", "stroke": LINE_COLOUR})
    for box in boxes.values():
        draw_box(svg, box)
    return ElementTree.tostring(svg, encoding="unicode")


def topology_page(plans: list[Topology]) -> str:
    """Return the part of the architecture page that shows every environment."""
    sections = []
    for plan in plans:
        rows = [
            f"| {host.name} | {host.address} | {', '.join(host.groups)} | {', '.join(plan.open_ports(host))} |"
            for host in plan.hosts
        ]
        table = "\n".join(["| host | address | groups | open to everyone |", "|---|---|---|---|", *rows])
        sections.append(
            f"### {plan.environment.capitalize()}\n\n<figure>\n{diagram(plan)}\n</figure>\n\n{table}\n",
        )
    return "\n".join(sections)


# The reference


def markup(text: str) -> str:
    """Return Ansible's documentation markup (C(), O(), M() and so on, or code in backticks) as Markdown."""
    escaped = to_md(parse(text, Context(), errors="message"))
    return re.sub(r"\\`(.+?)\\`", r"<code>\1</code>", escaped)


def paragraphs(text: str | list[str] | None) -> list[str]:
    """Return a description, which may be one text or a list of them, as Markdown paragraphs."""
    return [markup(part) for part in ([text] if isinstance(text, str) else text or [])]


def traits(option: Spec) -> str:
    """Return an option's type, whether it is needed, its default and choices in one line."""
    kind = option.get("type", "str")
    parts = [f"`{kind}` of `{option['elements']}`" if "elements" in option else f"`{kind}`"]
    if option.get("required"):
        parts.append("required")
    if option.get("default") is not None:
        parts.append(f"default {literal(option['default'])}")
    if option.get("choices"):
        parts.append("one of " + ", ".join(literal(choice) for choice in option["choices"]))
    return " · ".join(parts)


def literal(value: Any) -> str:
    """Return a value as inline code, written as in YAML."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def suboptions(options: Spec | None, depth: int = 0) -> list[str]:
    """Return nested options as a nested list."""
    lines: list[str] = []
    for name, option in (options or {}).items():
        says = " ".join(paragraphs(option.get("description")))
        lines.append(f"{'  ' * depth}- `{name}` ({traits(option)}): {says}")
        lines += suboptions(option.get("options") or option.get("suboptions"), depth + 1)
    return lines


def options_section(title: str, options: Spec | None) -> str:
    """Return a section with one heading an option, so that each has an address and is found by the search."""
    if not options:
        return f"## {title}\n\nNone.\n"
    # An option may be named like its section, and an address is unique on a page.
    blocks = [f"## {title} {{#all-{title.lower().replace(' ', '-')}}}"]
    for name, option in options.items():
        blocks += [f"### `{name}` {{#{name}}}", traits(option), *paragraphs(option.get("description"))]
        nested = suboptions(option.get("options") or option.get("suboptions"))
        blocks += ["\n".join(nested)] if nested else []
    return "\n\n".join(blocks) + "\n"


def without_table(readme: str) -> str:
    """Return a README without its generated table of variables, which the page tells in full."""
    return re.sub(r"(## Variables\n+)?<!-- variables: begin.*?variables: end -->\n*", "", readme, flags=re.DOTALL)


def role_page(name: str, spec: Spec, readme: str) -> str:
    """Return a role's page: its README, then every variable."""
    links = re.sub(r"\]\(\.\./(\w+)/README\.md\)", r"](./\1.md)", without_table(readme))
    opening = links.strip() or f"# {name}\n\n" + "\n\n".join(paragraphs(spec.get("short_description")))
    return f"{opening}\n\n{options_section('Variables', spec.get('options'))}"


def returned(values: Spec | None) -> str:
    """Return the section on what a module returns."""
    if not values:
        return ""
    lines = [
        f"- `{name}` ({traits(value)}; returned {value.get('returned', 'always')}): "
        + " ".join(paragraphs(value.get("description")))
        for name, value in values.items()
    ]
    return "\n## Returns\n\n" + "\n".join(lines) + "\n"


def plugin_page(name: str, kind: str, documentation: Spec) -> str:
    """Return a plugin's page from what ansible-doc says of it."""
    doc = documentation["doc"]
    blocks = [f"# {name}", f"{kind} `{COLLECTION}.{name}`: {markup(doc['short_description'])}."]
    blocks += paragraphs(doc.get("description"))
    notes = [f"- {note}" for note in paragraphs(doc.get("notes"))]
    blocks += ["## Notes", "\n".join(notes)] if notes else []
    page = "\n\n".join(blocks) + "\n\n" + options_section("Options", doc.get("options"))
    examples = (documentation.get("examples") or "").strip()
    page += f"\n## Examples\n\n```yaml\n{examples}\n```\n" if examples else ""
    return page + returned(documentation.get("return"))


def overview(entries: list[tuple[str, str, str]]) -> str:
    """Return the reference's first page from (folder, name, what it is for)."""
    lines = [
        "# Reference",
        "",
        "Generated from the schema of the description and the specifications of the roles and plugins.",
        "",
        f"- [{description_page.TITLE}](./description.md): every key with its type, default and example",
    ]
    for folder in ("roles", "plugins"):
        found = [(name, says) for where, name, says in entries if where == folder]
        lines += ["", f"## {folder.capitalize()}", ""]
        lines += [f"- [{name}](./{folder}/{name}.md): {says}" for name, says in found] or ["None."]
    return "\n".join(lines) + "\n"


def short_names(entries: Spec) -> list[tuple[str, Spec]]:
    """Return this collection's entries of a documentation dump by name, without the collection's."""
    prefix = f"{COLLECTION}."
    return [(name.removeprefix(prefix), entry) for name, entry in sorted(entries.items()) if name.startswith(prefix)]


def reference_pages(dump: Spec, readmes: Mapping[str, str]) -> dict[str, str]:
    """Return path and text of every page of the reference from a dump of ansible-doc."""
    pages: dict[str, str] = {}
    entries: list[tuple[str, str, str]] = []
    for name, role in short_names(dump.get("role", {})):
        spec = role["entry_points"]["main"]
        pages[f"roles/{name}.md"] = role_page(name, spec, readmes.get(name, ""))
        entries.append(("roles", name, " ".join(paragraphs(spec.get("short_description")))))
    for plugin_type, kind in PLUGIN_TYPES.items():
        for name, documentation in short_names(dump.get(plugin_type, {})):
            pages[f"plugins/{name}.md"] = plugin_page(name, kind, documentation)
            entries.append(("plugins", name, markup(documentation["doc"]["short_description"])))
    return pages | {"index.md": overview(entries)}


# Reading the checkout, writing the pages


def documentation_dump(root: Path) -> dict[str, Any]:
    """Ask ansible-doc for everything that it knows of the collection, in one call."""
    answer = subprocess.run(
        ["ansible-doc", "--metadata-dump", COLLECTION],
        cwd=root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)["all"]
    return found


def read_topology(root: Path, environment: str) -> Topology:
    """Return an environment whose hosts are written down (a cloud's inventory source lists them at run time)."""
    path = root / "inventories" / environment / "hosts.yml"
    if not path.exists():
        raise SystemExit(f"{path} does not exist: {environment} is not an environment with a list of hosts")
    return topology(environment, description(root, environment), load(path))


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Make folder hold these pages and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_site(root: Path) -> None:
    """Write all generated pages of the site."""
    readmes = {path.parent.name: path.read_text(encoding="utf-8") for path in root.glob("roles/*/README.md")}
    pages = reference_pages(documentation_dump(root), readmes)
    pages["description.md"] = description_page.page(description_schema.load(root), load(root / DEFAULTS))
    write(root / "docs" / "reference", pages)
    write(root / "docs" / "generated", {"topology.md": topology_page([read_topology(root, PUBLISHED)])})
    print(f"{len(pages)} reference pages and the diagram of {PUBLISHED} written")


def main(environments: list[str], root: Path = ROOT) -> None:
    """Write the pages of the site, or the diagrams of environments, which are not part of it."""
    if not environments:
        write_site(root)
        return
    folder = root / ".cache" / "diagrams"
    write(folder, {f"{name}.md": topology_page([read_topology(root, name)]) for name in environments})
    print(f"written to {folder}; do not publish them: they name your hosts and their addresses")


if __name__ == "__main__":
    main(sys.argv[1:])
