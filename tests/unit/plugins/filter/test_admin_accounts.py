from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.admin_accounts import FilterModule, admin_accounts, escape_command


def key(kind: str = "ssh-ed25519", *fields: bytes) -> str:
    blob = b"".join(len(f).to_bytes(4, "big") + f for f in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(blob).decode()} somebody@laptop"


ADA, BOB, CI = (key("ssh-ed25519", bytes([number]) * 32) for number in (1, 2, 3))
P256 = key("ecdsa-sha2-nistp256", b"nistp256", b"\4" * 65)
FIDO = key("sk-ssh-ed25519@openssh.com", b"\5" * 32, b"ssh:")
FIDO_P256 = key("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" * 65, b"ssh:")
RSA = key("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 384)
RSA_2048 = key("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256)


def person(name: str = "ada", *keys: str) -> dict[str, Any]:
    return {"name": name, "comment": "Somebody", "keys": list(keys or [ADA])}


@pytest.mark.parametrize("good", [ADA, P256, FIDO, FIDO_P256, RSA, f"  {ADA}\n", ADA.rsplit(" ", 1)[0]])
def test_valid_key_becomes_one_line(good: str) -> None:
    lines = admin_accounts([person("ada", good)])["keys"][0]["keys"]
    assert lines == [good.strip()]


def test_people_are_admins_and_deploy_is_not() -> None:
    model = admin_accounts([person()], [CI], ["/usr/bin/systemctl reload nginx.service"])
    assert [(user["name"], user["groups"], user["shell"]) for user in model["users"]] == [
        ("ada", ["admins"], "/bin/bash"),
        ("deploy", [], "/bin/bash"),
    ]
    assert model["keys"][1] == {"name": "deploy", "keys": [f"restrict {CI}"]}
    assert model["commands"] == ["/usr/bin/systemctl reload nginx.service"]


def test_empty_list_is_allowed_with_allow_none() -> None:
    assert [user["name"] for user in admin_accounts([], allow_none=True)["users"]] == ["deploy"]


@pytest.mark.parametrize(
    ("people", "problem"),
    [
        ([], "lock out every administrator"),
        ([person("ada", "hello")], "ada's key 1 is not one public key"),
        ([person("ada", ADA, "ssh-ed25519 AAAA%")], "ada's key 2 is damaged"),
        ([person("ada", ADA[:40])], "ada's key 1 is damaged"),
        ([person("ada", key("ssh-ed25519", b"short"))], "ada's key 1 is damaged"),
        ([person("ada", ADA.replace("ssh-ed25519", "ssh-rsa", 1))], "ada's key 1 is damaged"),
        ([person("ada", f"{ADA}\n{BOB}")], "ada's key 1 is not one public key"),
        ([person("ada", f'command="sh" {ADA}')], "has the type"),
        ([person("ada", key("ssh-dss", b"1"))], "has the type 'ssh-dss'"),
        ([person("ada", RSA_2048)], "RSA key of 2048 bits"),
        ([person("ada", "-----BEGIN OPENSSH PRIVATE KEY-----\nx")], "is a PRIVATE key"),
        ([{"name": "ada", "keys": []}], "ada has no public key"),
        ([person("postgres")], "postgres is an account of the system"),
        ([person("systemd-network")], "systemd-network is an account of the system"),
        ([person("deploy")], "deploy is an account of the system"),
        ([person("Ada")], "`Ada` is not a valid name"),
        ([person("../x")], "is not a valid name"),
        ([person(), person("ada", BOB)], "ada is listed twice"),
        ([person(), person("bob")], "ada and bob have the same public key"),
        ([{**person(), "comment": "a:b"}], "ada: the comment"),
    ],
)
def test_invalid_account_is_refused_with_its_name(people: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=problem):
        admin_accounts(people)


def test_deploy_key_of_a_person_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="ada and deploy have the same public key"):
        admin_accounts([person()], [ADA])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/usr/bin/true", '/usr/bin/true ""'),
        ("/usr/bin/rsync --a=b,c x:y", r"/usr/bin/rsync --a\=b\,c x\:y"),
    ],
)
def test_command_is_escaped_for_sudoers(text: str, expected: str) -> None:
    assert escape_command(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "systemctl",
        "ALL",
        "/usr/bin/",
        "/bin/ls *",
        "/bin/ls ^.*$",
        "/bin/ls # x",
        "/bin/a\nroot ALL=ALL",
        "!/bin/sh",
        "",
    ],
)
def test_ambiguous_command_is_refused(text: str) -> None:
    with pytest.raises(AnsibleFilterError, match="deploy's command"):
        escape_command(text)


def test_filter_is_registered_by_name() -> None:
    assert list(FilterModule().filters()) == ["admin_accounts"]
