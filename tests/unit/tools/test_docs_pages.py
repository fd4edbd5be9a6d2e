"""The manual's generated pages: what the description and the specifications say must be what the page says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tools import description_page, description_schema, docs_pages

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = {
    "domain": "vln.test",
    "sites": {"docs": {"domain": "docs.{{ domain }}", "group": "docs"}},
    "open_ports": {"all": ["22/tcp"], "edge": ["443/tcp", "443/udp"], "mail": ["25/tcp"]},
}
ONE_HOST = yaml.safe_load("""
development:
  children:
    docs: {hosts: {host-1: {ansible_host: 172.30.0.10}}}
    edge: {hosts: {host-1: {}}}
""")
TWO_HOSTS = yaml.safe_load("""
all:
  children:
    staging:
      children:
        edge: {hosts: {edge-1: {ansible_host: 192.0.2.1}}}
        docs: {hosts: {docs-1: {ansible_host: 192.0.2.2}}}
        cache: {hosts: {cache-1: {}}}
""")
SPEC: dict[str, Any] = {
    "short_description": "Serves files",
    "options": {
        "nginx_sites": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "description": ["The sites, as in C({{ sites }})."],
            "options": {"name": {"required": True, "description": "Its <name>."}},
        },
    },
}
MODULE = {
    "doc": {
        "short_description": "Keep a thing",
        "description": ["Keeps I(it)."],
        "options": {"state": {"choices": ["a", "b"]}},
    },
    "examples": "- name: Keep\n  vise.platform.thing:\n",
    "return": {"actions": {"type": "list", "elements": "str", "description": "What was done."}},
}
DUMP = {
    "role": {"vise.platform.nginx": {"entry_points": {"main": SPEC}}, "other.one.nginx": {}},
    "module": {"vise.platform.thing": MODULE, "ansible.builtin.apt": {}},
    "keyword": {"vise.platform.not_a_plugin": {}},
}


def drawn(plan: docs_pages.Topology) -> list[str]:
    """Return the texts of a diagram, in their order."""
    svg = ElementTree.fromstring(docs_pages.diagram(plan))  # noqa: S314 - made by the function under test
    return [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_one_host_in_every_group_stands_at_the_edge_alone() -> None:
    plan = docs_pages.topology("development", VARIABLES, ONE_HOST)
    assert plan.hosts == (docs_pages.Host("host-1", "172.30.0.10", ("docs", "edge")),)
    assert drawn(plan) == [
        *("Sites", "Edge"),
        "docs.vln.test",
        *("host-1", "172.30.0.10", "docs, edge", "open: 22/tcp, 443/tcp,", "443/udp"),
    ]
    assert docs_pages.connections(plan) == [("docs.vln.test", "host-1")]


def test_a_host_a_group_is_joined_with_the_edge_where_it_serves_a_site() -> None:
    plan = docs_pages.topology("staging", VARIABLES, TWO_HOSTS)
    assert docs_pages.connections(plan) == [("docs.vln.test", "edge-1"), ("edge-1", "docs-1")]
    assert {"Behind it", "docs-1", "cache-1"} <= set(drawn(plan))


def test_a_site_with_an_entrance_of_its_own_is_reached_there() -> None:
    hosts = (docs_pages.Host("edge-1", "", ("edge",)), docs_pages.Host("mail-1", "", ("mail",)))
    plan = docs_pages.Topology("x", (docs_pages.Site("mail.vln.test", "mail", "mail"),), hosts, {})
    assert docs_pages.connections(plan) == [("mail.vln.test", "mail-1")]
    assert [title for title, _boxes in docs_pages.columns_of(plan)] == ["Sites", "Edge"]


def test_a_host_without_a_function_of_its_own_has_only_what_is_open_on_all() -> None:
    plan = docs_pages.topology("staging", VARIABLES, TWO_HOSTS)
    assert {host.name: plan.open_ports(host) for host in plan.hosts} == {
        "edge-1": ("22/tcp", "443/tcp", "443/udp"),
        "docs-1": ("22/tcp",),
        "cache-1": ("22/tcp",),
    }


def test_boxes_of_a_column_do_not_overlap_and_lie_inside_the_drawing() -> None:
    plan = docs_pages.topology("staging", VARIABLES, TWO_HOSTS)
    for _, boxes in docs_pages.columns_of(plan):
        placed = list(boxes.values())
        assert all(above.y + above.height < below.y for above, below in itertools.pairwise(placed))
    _, _, width, height = map(int, re.findall(r'viewBox="(\d+) (\d+) (\d+) (\d+)"', docs_pages.diagram(plan))[0])
    drawn_boxes = [box for _, boxes in docs_pages.columns_of(plan) for box in boxes.values()]
    assert all(box.x + docs_pages.WIDTH < width and box.y + box.height < height for box in drawn_boxes)


def test_a_diagram_is_one_line_so_that_markdown_keeps_it_whole() -> None:
    page = docs_pages.topology_page([docs_pages.topology("development", VARIABLES, ONE_HOST)])
    assert re.search(r"<figure>\n<svg [^\n]*</svg>\n</figure>\n", page)
    assert "| host-1 | 172.30.0.10 | docs, edge | 22/tcp, 443/tcp, 443/udp |" in page


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("docs.{{ domain }}", "docs.vln.test"),
        (["{{ nested }}"], ["x.vln.test"]),
        ({"a": "{{ unknown }}"}, {"a": "{{ unknown }}"}),
        ("{{ domain | ansible_only }}", "{{ domain | ansible_only }}"),
        (443, 443),
    ],
)
def test_values_are_filled_in_as_far_as_they_are_known(value: object, expected: object) -> None:
    assert docs_pages.rendered(value, {"domain": "vln.test", "nested": "x.{{ domain }}"}) == expected


def test_an_environment_overrides_the_description_and_secrets_are_not_read(tmp_path: Path) -> None:
    for name, text in {
        docs_pages.DEFAULTS: "{domain: x, people: []}\n",
        "group_vars/all/domain.yml": "domain: vln.gg\ntoken: !vault |\n  $ANSIBLE_VAULT\n",
        "group_vars/development/domain.yml": "domain: vln.test\n",
        "group_vars/all/empty.yml": "---\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert docs_pages.description(tmp_path, "development") == {"domain": "vln.test", "people": [], "token": None}
    assert docs_pages.description(tmp_path, "production")["domain"] == "vln.gg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C(a)", "<code>a</code>"),
        ("as in `5000:5010` or `a`", r"as in <code>5000\:5010</code> or <code>a</code>"),
        ("<name>", r"\<name\>"),
        ("one ` alone", r"one \` alone"),
    ],
)
def test_markup_becomes_markdown(text: str, expected: str) -> None:
    assert docs_pages.markup(text) == expected


def test_site_names_no_host_outside_of_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = "all: {{children: {{edge: {{hosts: {{{name}-1: {{ansible_host: {address}}}}}}}}}}}\n"
    hosts = {"development": "172.30.0.10", "drill": "192.0.2.2", "production": "192.0.2.3", "staging": "192.0.2.4"}
    for name, address in hosts.items():
        path = tmp_path / "inventories" / name / "hosts.yml"
        path.parent.mkdir(parents=True)
        path.write_text(inventory.format(name=name, address=address))
    path = tmp_path / docs_pages.DEFAULTS
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    monkeypatch.setattr(docs_pages, "documentation_dump", lambda _root: DUMP)
    monkeypatch.setattr(description_page, "page", lambda *_arguments: "")
    monkeypatch.setattr(description_schema, "load", lambda _root: {})
    docs_pages.main([], tmp_path)
    site = "".join(path.read_text() for path in (tmp_path / "docs").rglob("*.md"))
    assert "development-1" in site
    assert not re.search(r"192\.0\.2\.|drill-1|production-1|staging-1", site)
    docs_pages.main(["production"], tmp_path)
    assert "production-1" in (tmp_path / ".cache/diagrams/production.md").read_text()
    assert [path.name for path in (tmp_path / ".cache/diagrams").iterdir()] == ["production.md"]
    with pytest.raises(SystemExit, match="none is not an environment"):
        docs_pages.main(["none"], tmp_path)


def test_only_the_collections_own_entries_have_a_page() -> None:
    assert set(docs_pages.reference_pages(DUMP, {})) == {"roles/nginx.md", "plugins/thing.md", "index.md"}


def test_a_roles_page_is_its_readme_with_every_variable_instead_of_the_table() -> None:
    readme = (
        "# nginx\n\nSee [docker](../docker/README.md).\n\n## Variables\n\n"
        "<!-- variables: begin -->\n| a |\n<!-- variables: end -->\n\n## Hard\n"
    )
    page = docs_pages.reference_pages(DUMP, {"nginx": readme})["roles/nginx.md"]
    assert page.startswith("# nginx\n\nSee [docker](./docker.md).\n\n## Hard\n")
    assert page.count("## Variables") == 1
    assert "### `nginx_sites` {#nginx_sites}\n\n`list` of `dict` · default `[]`" in page
    assert "- `name` (`str` · required): Its \\<name\\>" in page
    assert "| a |" not in page


def test_a_plugins_page_has_its_options_examples_and_what_it_returns() -> None:
    page = docs_pages.reference_pages(DUMP, {})["plugins/thing.md"]
    assert "Module `vise.platform.thing`: Keep a thing." in page
    assert "`str` · one of `a`, `b`" in page
    assert "```yaml\n- name: Keep\n  vise.platform.thing:\n```" in page
    assert "- `actions` (`list` of `str`; returned always): What was done" in page


def test_the_overview_links_to_each_page_and_nothing_else() -> None:
    pages = docs_pages.reference_pages(DUMP, {})
    links = set(re.findall(r"\]\(\./([^)]+)\)", pages["index.md"]))
    assert links == set(pages) - {"index.md"} | {"description.md"}


def test_writing_removes_the_page_of_a_role_that_is_gone(tmp_path: Path) -> None:
    docs_pages.write(tmp_path / "reference", {"roles/old.md": "# old\n"})
    docs_pages.write(tmp_path / "reference", {"roles/new.md": "# new\n"})
    assert [path.name for path in (tmp_path / "reference").rglob("*.md")] == ["new.md"]


def anchor(heading: str) -> str:
    """Return the address that the site gives a heading."""
    return re.sub(r"[^\w]+", "-", heading.lower()).strip("-")


def source_of(page: Path) -> Path:
    """Return the file from which a page of the site is made."""
    parts = page.relative_to(ROOT / "docs").parts
    if parts[0] != "reference":
        return page
    folders = {"roles": ROOT / "roles" / page.stem, "plugins": ROOT / "plugins/modules" / f"{page.stem}.py"}
    return folders.get(parts[1], ROOT / "tools/docs_pages.py")


# The build refuses a link to a page that is missing; it does not look at anchors, nor at what is not built yet.
@pytest.mark.parametrize("page", sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")]), ids=str)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", text) + [
        (link, "") for link in re.findall(r"^ +link: (\S+)", text, re.M)
    ]
    for link, fragment in links:
        base = ROOT / "docs" if link.startswith("/") else page.parent
        target = (base / link.lstrip("/")).resolve().with_suffix(".md") if link else page
        assert source_of(target).exists(), f"{page.name}: {link} leads nowhere"
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M) if fragment else []
        assert not fragment or fragment in map(anchor, headings), f"{page.name}: {link}#{fragment} has no such heading"


def test_option_that_is_named_like_its_section_has_an_address_of_its_own() -> None:
    page = docs_pages.options_section("Options", {"options": {"description": "All.", "type": "dict"}})
    assert page.count("{#options}") == 1
    assert "## Options {#all-options}" in page
