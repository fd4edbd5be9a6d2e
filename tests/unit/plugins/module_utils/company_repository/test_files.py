"""The written files contain what the answers and the clone contain, and they can be read back."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.action import company_repository as action
from ansible_collections.vise.platform.plugins.module_utils.company_repository import answers, files, insertions, plan

from tools import runtime_requirements

ROOT = Path(__file__).resolve().parents[5]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUZ0M0gjkBaqSVdVF9XW2hLHZHGZxgXoPIPr7oz4xv2"
RENDER = action.make_renderer()
SETTINGS = files.Settings(version="0.1.0", playbooks={"site", "make_secrets", "init", "preflight"})
EVERYTHING = {
    "init_domain": "example.org",
    "init_hosts": "web-1=192.0.2.10:2222,2001:db8::10",
    "init_user": "debian",
    "init_functions": "all",
    "init_applications": "my-shop",
    "init_sites": "my-shop:3000 blog",
    "init_people": f"alice={KEY}",
    "init_dns": "cloudflare",
    "init_storage": "s3.example.net/eu/one s3.example.com/us/two",
}


def complete(values: dict[str, Any], existing: answers.Answers | None = None) -> answers.Answers:
    existing = existing or answers.Answers()
    found, problems = answers.read_answers(values, Path.read_text, existing)  # type: ignore[arg-type]
    whole, others = plan.complete(found, existing)
    assert problems + others == []
    return whole


def write(values: dict[str, Any]) -> dict[str, str]:
    return files.write_files(complete(values), SETTINGS, RENDER)


def topic(written: dict[str, str], name: str) -> Any:
    return yaml.safe_load(written[f"{files.TOPICS}/{name}.yml"])


def settings(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_files_are_read_back_as_the_answers() -> None:
    whole = complete(EVERYTHING)
    written = files.write_files(whole, SETTINGS, RENDER)
    assert files.read_existing(written) == whole._replace(functions=dict(whole.functions))
    assert list(files.list_insertions(whole, files.read_existing(written), RENDER)) == []


def test_inventory_is_the_last_file_so_that_a_killed_run_can_be_repeated() -> None:
    assert list(write(EVERYTHING))[-1] == files.HOSTS


def test_docs_only_have_no_file_of_other_functions() -> None:
    written = write(
        {**EVERYTHING, "init_functions": "docs", "init_applications": "", "init_sites": "", "init_storage": ""}
    )
    topics = {Path(path).stem for path in written if path.startswith(files.TOPICS)}
    assert topics == {"domain", "people", "sites", "dns"}
    assert written["sites/docs/index.html"].startswith("<!doctype html>")


def test_settings_of_ansible_are_those_of_the_clone() -> None:
    own, clone = settings(write(EVERYTHING)["ansible.cfg"]), settings((ROOT / "ansible.cfg").read_text())
    for name in ("collections_path", "roles_path"):
        clone["defaults"].pop(name)
        own["defaults"].pop(name, None)
    assert own["defaults"].pop("inventory") == "inventory"
    assert own["defaults"].pop("vault_password_file") == ".vault-password"
    assert own == clone


def test_site_of_mail_and_the_sets_of_backups_are_those_of_the_clone() -> None:
    written, clone = write(EVERYTHING), ROOT / "group_vars/all"
    assert (
        topic(written, "sites")["sites"]["mail"] == yaml.safe_load((clone / "sites.yml").read_text())["sites"]["mail"]
    )
    backups = yaml.safe_load((clone / "backups.yml").read_text())
    assert topic(written, "backups")["backup_sets"] == backups["backup_sets"]
    credentials = [{key: one[key] for key in ("name", "append", "full")} for one in backups["backup_repositories"]]
    own = topic(written, "backups")["backup_repositories"]
    assert [{key: one[key] for key in ("name", "append", "full")} for one in own] == credentials
    mail = {
        key: value for key, value in topic(written, "mail").items() if key not in ("mail_memory", "mail_administrators")
    }
    assert mail == yaml.safe_load((clone / "mail.yml").read_text())


def test_workflow_uses_the_same_version_of_the_checkout_as_this_repository() -> None:
    uses = re.compile(r"uses: (\S+ # \S+)")
    known = {one for path in (ROOT / ".github/workflows").glob("*.yml") for one in uses.findall(path.read_text())}
    assert set(uses.findall(write(EVERYTHING)[".github/workflows/check.yml"])) <= known


def test_makefile_has_only_commands_whose_playbooks_exist() -> None:
    def verbs(*playbooks: str) -> dict[str, str]:
        text = files.write_files(complete(EVERYTHING), SETTINGS._replace(playbooks=playbooks), RENDER)["Makefile"]
        return dict(
            re.findall(r"^(\w+): inputs setup ## .*\n\tansible-playbook vise\.platform\.(\w+) \$\(ARGS\)$", text, re.M)
        )

    assert verbs("site", "preflight") == {"check": "preflight", "converge": "site"}
    assert verbs("site", "preflight", "check", "status") == {"check": "check", "converge": "site", "status": "status"}


def make(folder: Path, variable: str = "") -> tuple[int, str, str]:
    """Run `make converge` in a repository where `setup` is done; return exit status and output."""
    (folder / "Makefile").write_text(
        files.write_files(complete(EVERYTHING), SETTINGS._replace(playbooks=("site",)), RENDER)["Makefile"]
    )
    for name in (".venv/ready", ".ansible/ready", "requirements.txt", "requirements.yml", "inventory/hosts.yml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "bin").mkdir()
    (folder / "bin/ansible-playbook").write_text("#!/bin/sh\necho started\n")
    (folder / "bin/ansible-playbook").chmod(0o700)
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "ANSIBLE_VAULT_PASSWORD_FILE": variable}
    command = ["make", "--old-file=.venv/ready", "--old-file=.ansible/ready", "converge"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("content", "variable", "reported"),
    [(None, "", True), ("", "", True), ("secret\n", "", False), (None, "/elsewhere", False)],
)
def test_missing_password_of_the_vault_is_reported_with_what_to_write(
    content: str | None, variable: str, reported: bool, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / ".vault-password").write_text(content)
    code, out, error = make(tmp_path, variable)
    assert (code != 0, "started\n" in out) == (reported, not reported), out + error
    expected = (
        ".vault-password is missing or empty: write the password of the vault into this file, from where you stored it"
    )
    assert error.startswith(expected) == reported


def test_removed_list_of_packages_is_written_by_init(tmp_path: Path) -> None:
    (tmp_path / ".vault-password").write_text("x")
    make(tmp_path)
    (tmp_path / "requirements.txt").unlink()
    for name, text in (("ansible-playbook", 'echo "$@" >requirements.txt'), ("pip", 'echo "$@" >installed')):
        (tmp_path / ".venv/bin").mkdir(exist_ok=True)
        (tmp_path / ".venv/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / ".venv/bin" / name).chmod(0o700)
    command = ["make", "PYTHON=true", "--old-file=.ansible/ready", "setup"]
    subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    assert (tmp_path / "requirements.txt").read_text() == "vise.platform.init\n"
    assert (tmp_path / "installed").read_text() == "install --quiet --no-compile --requirement requirements.txt\n"


@pytest.mark.parametrize(
    ("file", "line", "reported"),
    [
        ("hosts.yml", "\tweb-1: {}", True),
        ("group_vars/all/sites.yml", "\t- x", True),
        ("group_vars/all/sites.yml", "  text: a\tb", False),
        ("group_vars/all/notes.txt", "\tx", False),
    ],
)
def test_tab_is_reported_with_file_and_line(file: str, line: str, reported: bool, tmp_path: Path) -> None:
    (tmp_path / ".vault-password").write_text("x")
    path = tmp_path / "inventory" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"all:\n  hosts:\n{line}\n")
    code, out, error = make(tmp_path)
    assert (code != 0, "started\n" in out) == (reported, not reported), out + error
    assert (f"inventory/{file}:3:{line}" in out) == reported
    assert error.startswith("These lines begin with a tab, which YAML does not allow: write spaces") == reported


def test_makefile_names_only_playbooks_of_the_collection_and_verbs_of_the_clone() -> None:
    exist = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    text = files.write_files(complete(EVERYTHING), SETTINGS._replace(playbooks=exist), RENDER)["Makefile"]
    assert set(re.findall(r"vise\.platform\.(\w+)", text)) <= exist
    verb = re.compile(r"^([a-z]+):.*## ", re.M)
    # `check` of a clone is the playbook of the same name.
    assert set(verb.findall(text)) - {"check"} <= set(verb.findall((ROOT / "Makefile").read_text()))


def test_password_file_is_ignored_by_git() -> None:
    assert ".vault-password" in write(EVERYTHING)[".gitignore"].splitlines()


def test_requirements_name_the_collection_or_an_archive() -> None:
    whole = complete(EVERYTHING)
    for collection, expected in (
        ("vise.platform", [{"name": "vise.platform", "version": "0.1.0"}]),
        ("/tmp/vise-platform-0.1.0.tar.gz", [{"name": "/tmp/vise-platform-0.1.0.tar.gz", "type": "file"}]),
    ):
        written = files.write_files(whole, SETTINGS._replace(collection=collection), RENDER)
        assert yaml.safe_load(written["requirements.yml"])["collections"] == expected


def test_requirements_list_the_packages_that_plugins_import() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "plugins").rglob("*.py"))
    imported = set(
        re.findall(r"^ *(?:from|import) (cloudflare|cryptography|dkim|dns|docker|jsonschema|requests)\b", text, re.M)
    )
    names = {"dkimpy": "dkim", "dnspython": "dns"}
    assert {names.get(name, name) for name in runtime_requirements.PACKAGES} == imported | {"ansible-core"}
    assert write(EVERYTHING)["requirements.txt"] == runtime_requirements.TEMPLATE.read_text()


def test_login_of_a_provider_keeps_its_key() -> None:
    assert "ssh_home_keys_for" not in topic(write(EVERYTHING), "people")
    assert "ssh_home_keys_for" not in topic(write({**EVERYTHING, "init_user": "alice"}), "people")
    assert topic(write({**EVERYTHING, "init_user": "ubuntu"}), "people")["ssh_home_keys_for"] == ["root", "ubuntu"]


def test_root_does_not_become_root() -> None:
    inventory = yaml.safe_load(write({**EVERYTHING, "init_user": ""})[files.HOSTS])
    assert inventory["all"]["vars"] == {"ansible_user": "root"}
    inventory = yaml.safe_load(write(EVERYTHING)[files.HOSTS])
    assert inventory["all"]["vars"] == {"ansible_user": "debian", "ansible_become": True}


def test_second_call_edits_files_and_writes_new_ones() -> None:
    docs = {**EVERYTHING, "init_functions": "docs", "init_applications": "", "init_sites": "", "init_storage": ""}
    written = write(docs)
    written[files.HOSTS] = written[files.HOSTS].replace("    web-1:\n", "    # The first one\n    web-1:\n", 1)
    existing = files.read_existing(written)
    more = {
        "init_hosts": "db-1=192.0.2.11",
        "init_functions": "database mail=db-1 cache",
        "init_applications": "shop=web-1",
    }
    more |= {"init_storage": "none", "init_sites": "shop:3000 wiki", "init_people": f"bob={KEY[:-1]}A"}
    whole = complete(more, existing)
    changed, by_hand = files.insert_entries(written, files.list_insertions(whole, existing, RENDER))
    assert by_hand == []
    assert set(changed) == {files.HOSTS, *(f"{files.TOPICS}/{name}.yml" for name in ("people", "sites"))}
    assert "    # The first one\n    web-1:\n" in changed[files.HOSTS]
    fresh = files.write_files(whole, SETTINGS, RENDER)
    merged = {**fresh, **written, **changed}
    assert files.read_existing(merged) == whole
    for path in changed:
        assert insertions.load(merged[path]) == insertions.load(fresh[path])


def test_file_that_cannot_be_edited_is_named_with_the_text_to_add() -> None:
    written = write(EVERYTHING)
    written[f"{files.TOPICS}/sites.yml"] = "sites: '{{ other_sites }}'\n"
    existing = files.read_existing(written)
    whole = complete({"init_sites": "wiki"}, existing._replace(sites=complete(EVERYTHING).sites))
    wanted = [one for one in files.list_insertions(whole, existing, RENDER) if "wiki" in one.entry]
    changed, by_hand = files.insert_entries(written, wanted)
    assert changed == {}
    assert by_hand[0].startswith(
        "inventory/group_vars/all/sites.yml: the value of sites has an unusual form; add this to sites"
    )
    assert "      domain: wiki.example.org" in by_hand[0]


@pytest.mark.parametrize(
    ("dns", "expected"),
    [("none", ["blog.example.org A 192.0.2.10", "blog.example.org AAAA 2001:db8::10"])],
)
def test_records_are_listed_for_each_address(dns: str, expected: list[str]) -> None:
    records = files.list_records(complete({**EVERYTHING, "init_dns": dns}))
    assert set(expected) <= set(records)
    assert "mta-sts.example.org AAAA 2001:db8::10" in records
