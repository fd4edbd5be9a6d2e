"""A role that obeys every rule, for tests that break one rule each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import collection, readme_tables

FILES = {
    "roles/web/README.md": "# web\n",
    "roles/web/defaults/main.yml": "---\nweb_port: 80\nweb_sites: []\n",
    "roles/web/meta/argument_specs.yml": """---
argument_specs:
  main:
    short_description: Serve pages
    options:
      web_port: {type: int, default: 80, description: Where it listens}
      web_sites:
        type: list
        elements: dict
        default: []
        description: What it serves
        options:
          name: {type: str, required: true, description: Its name}
""",
    "roles/web/meta/main.yml": "---\ngalaxy_info: {}\n",
    "roles/web/tasks/main.yml": """---
- name: Configure the web server
  vise.platform.component:
    name: web
    files:
      - dest: /etc/web.conf
        vars: {greeting: hello}
      - dest: "/etc/web/{name}.conf"
        src: site.conf.j2
        each: "{{ web_sites }}"
""",
    "roles/web/templates/web.conf.j2": (
        "{{ ansible_managed | comment }}\nport {{ web_port }} {{ greeting }} {{ component_generation }}\n"
    ),
    "roles/web/templates/site.conf.j2": "{{ ansible_managed | comment }}\nsite {{ item.name }} {{ web_port }}\n",
    "molecule/web/molecule.yml": "---\n",
    "tests/unit/roles/web/template_vars.yml": "---\ntwo_sites:\n  web_sites: [{name: docs}, {name: edu}]\n",
}


def put(root: Path, name: str, text: str) -> None:
    """Write a file of the checkout."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Replace a program by a shell script; the returned file contains what the script writes to $NOTES."""

    def install(name: str, script: str) -> Path:
        put(tmp_path, f"bin/{name}", script)
        (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
        return tmp_path / "notes"

    return install


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create a checkout with one role, web, that obeys every rule."""
    for name, text in FILES.items():
        put(tmp_path, name, text)
    readme = tmp_path / "roles/web/README.md"
    readme.write_text(readme_tables.update_table(readme.read_text(), collection.role_options(tmp_path / "roles/web")))
    return tmp_path
