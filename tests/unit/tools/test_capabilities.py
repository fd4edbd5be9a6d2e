"""README and the start page state what the platform does today, and each statement has code and a test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from tools import capabilities, collection
from tools.capabilities import Capability

ROOT = Path(__file__).resolve().parents[3]
ONE = Capability(
    "Web", "Serves: files", "/web", ["molecule/web", "tests/e2e/test_web.py"], ["web"], ["edge"], ["release"]
)
FILES = (
    "docs/web.md",
    "molecule/web/molecule.yml",
    "playbooks/edge.yml",
    "plugins/modules/release.py",
    "roles/web/tasks/main.yml",
    "tests/e2e/test_web.py",
)


def write_files(root: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def test_every_listed_capability_names_existing_code_tests_and_page() -> None:
    assert capabilities.problems(capabilities.load(ROOT)[0], ROOT) == []


def test_every_role_belongs_to_a_capability() -> None:
    names = [role.name for role in collection.role_directories(ROOT)]
    # The role `description` has only defaults.
    assert set(capabilities.unlisted_roles(capabilities.load(ROOT)[0], names)) <= {"description"}


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_document_is_up_to_date(name: str) -> None:
    wanted = capabilities.documents(ROOT)[ROOT / name]
    assert (ROOT / name).read_text(encoding="utf-8") == wanted, f"{name} is out of date; run `make docs-tables`"


def test_complete_capability_has_no_problem(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    assert capabilities.problems([ONE], tmp_path) == []


@pytest.mark.parametrize("missing", FILES)
def test_missing_file_is_reported(missing: str, tmp_path: Path) -> None:
    write_files(tmp_path, tuple(name for name in FILES if name != missing))
    [problem] = capabilities.problems([ONE], tmp_path)
    assert missing in problem


def test_capability_without_code_or_test_is_reported(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    bare = dataclasses.replace(ONE, tests=[], roles=[], playbooks=[], plugins=[])
    assert capabilities.problems([bare], tmp_path) == ["Web: no provider is named", "Web: no test is named"]


def test_role_without_a_capability_is_reported() -> None:
    assert capabilities.unlisted_roles([ONE], ["web", "mail"]) == ["mail"]


def test_readme_lists_title_and_sentence() -> None:
    assert capabilities.readme_block([ONE], "Later.") == "\n- **Web.** Serves: files\n\nLater.\n\n"


def test_features_are_yaml_with_a_link_to_the_page() -> None:
    expected = [{"title": "Web", "details": "Serves: files", "link": "/web"}]
    assert yaml.safe_load(capabilities.features_block([ONE])) == {"features": expected}


def test_front_matter_of_the_start_page_has_a_feature_for_each_capability() -> None:
    _, front, _ = (ROOT / "docs/index.md").read_text(encoding="utf-8").split("---\n", 2)
    titles = [feature["title"] for feature in yaml.safe_load(front)["features"]]
    assert titles == [capability.title for capability in capabilities.load(ROOT)[0]]


def test_update_writes_only_documents_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path, ("same.md", "other.md"))
    wanted = {tmp_path / "same.md": "", tmp_path / "other.md": "new"}
    capabilities.update(lambda _root: wanted, tmp_path)
    assert (tmp_path / "other.md").read_text() == "new"
    assert capsys.readouterr().out == "other.md: updated\n"
