"""Settings of other files are refused when they weaken a login or close an account that must be able to log in."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.ssh import policy
from ansible_collections.vise.platform.plugins.module_utils.ssh.config import Block, Setting
from ansible_collections.vise.platform.plugins.module_utils.ssh.policy import Account

ADA = Account("ada", ("ada", "admins"), required=True)
EVE = Account("eve", ("eve", "sftponly"))
OWN = "/own"
WANTED = {
    "authenticationmethods": ("publickey",),
    "authorizedkeysfile": ("/etc/ssh/authorized_keys.d/%u",),
    "forcecommand": ("none",),
    "maxauthtries": ("3",),
    "passwordauthentication": ("no",),
    "permitrootlogin": ("without-password",),
    "port": ("22",),
    "printmotd": ("yes",),
    "pubkeyauthentication": ("yes",),
    "ciphers": ("a,b",),
    "allowtcpforwarding": ("yes",),
    "trustedusercakeys": ("none",),
}


@pytest.mark.parametrize(
    ("keyword", "value", "other", "required"),
    [
        ("printmotd", "no", False, False),
        ("passwordauthentication", "yes", True, True),
        ("authenticationmethods", "any", True, True),
        ("authenticationmethods", "publickey,password password", True, True),
        # A second factor, which people do not have.
        ("authenticationmethods", "publickey,keyboard-interactive", False, True),
        ("authenticationmethods", "publickey publickey,keyboard-interactive", False, False),
        ("authorizedkeysfile", ".ssh/authorized_keys", True, True),
        ("trustedusercakeys", "/etc/ca", True, True),
        ("forcecommand", "internal-sftp", False, True),
        ("maxauthtries", "6", True, True),
        ("maxauthtries", "2", False, False),
        ("permitrootlogin", "yes", True, True),
        ("permitrootlogin", "prohibit-password", False, False),
        ("permitrootlogin", "no", False, True),
        ("pubkeyauthentication", "no", False, True),
        ("ciphers", "b", False, False),
        ("ciphers", "a,b,old", True, True),
        ("allowtcpforwarding", "no", False, False),
        ("allowtcpforwarding", "local", True, True),
        ("setting-of-a-later-version", "yes", True, True),
    ],
)
def test_setting_is_refused_where_it_weakens_or_closes(keyword: str, value: str, other: bool, required: bool) -> None:
    line = Setting("/foreign", 3, keyword, value)
    effective = {**WANTED, keyword: (value,)}
    for account, expected in ((EVE, other), (ADA, required)):
        findings = list(policy.compare(account, effective, WANTED, [line], {OWN}))
        assert [str(one).partition("`: ")[0] for one in findings] == [f"/foreign:3: `{keyword} {value}"] * expected


def test_second_port_of_another_file_is_refused_although_its_first_line_is_ours() -> None:
    lines = [Setting(OWN, 1, "port", "22"), Setting("/foreign", 1, "port", "2222")]
    (finding,) = policy.compare(EVE, {**WANTED, "port": ("22", "2222")}, WANTED, lines, {OWN})
    assert finding.setting == lines[1]


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ({}, ""),
        ({"allowusers": ("admin",)}, "allowusers"),
        ({"allowusers": ("admin", "ada")}, ""),
        ({"allowusers": ("a*",)}, ""),
        ({"allowusers": ("ada@10.0.0.0/8",)}, "allowusers"),
        ({"denyusers": ("ada@10.0.0.0/8",)}, "denyusers"),
        ({"denyusers": ("eve",)}, ""),
        ({"allowgroups": ("wheel",)}, "allowgroups"),
        ({"allowgroups": ("wheel admins",)}, ""),
        ({"denygroups": ("admins",), "allowusers": ("ada",)}, "denygroups"),
    ],
)
def test_lists_of_accounts_admit_or_exclude_as_in_sshd(effective: dict[str, tuple[str, ...]], expected: str) -> None:
    assert policy.find_exclusion(ADA, effective) == expected
    finding = policy.explain_exclusion(ADA, effective, [Setting("/foreign", 1, expected, "x")], {OWN})
    assert (finding.setting.file if finding and finding.setting else "") == ("/foreign" if expected else "")
    assert policy.explain_exclusion(EVE, effective, [], {OWN}) is None


def test_line_that_decides_is_the_first_of_a_matching_block_before_all_others() -> None:
    sftp, office = Block((("group", "sftponly"),)), Block((("address", "10.0.0.0/8"),))
    lines = [
        Setting("/a", 1, "passwordauthentication", "yes"),
        Setting("/b", 2, "passwordauthentication", "yes", (sftp,)),
        Setting("/c", 3, "passwordauthentication", "yes", (office,)),
    ]
    assert policy.find_decider("passwordauthentication", EVE, lines, {OWN}) == lines[1]
    assert policy.find_decider("passwordauthentication", ADA, lines[:2], {OWN}) == lines[0]
    assert policy.find_decider("port", EVE, lines, {OWN}) is None


@pytest.mark.parametrize(
    ("criterion", "keyword", "value", "refused"),
    [
        # An account of the group exists: its configuration is compared.
        (("group", "sftponly"), "passwordauthentication", "yes", False),
        (("group", "empty"), "passwordauthentication", "yes", True),
        (("group", "empty"), "forcecommand", "internal-sftp", False),
        (("group", "empty"), "passwordauthentication", "no", False),
        (("address", "10.0.0.0/8"), "passwordauthentication", "yes", True),
        (("address", "10.0.0.0/8"), "passwordauthentication", "no", False),
        (("localport", "2222"), "denyusers", "*", True),
        (("host", "*.example.org"), "forcecommand", "/bin/false", True),
        (("host", "*.example.org"), "x11displayoffset", "20", False),
    ],
)
def test_line_of_a_block_that_no_account_shows_is_refused_by_its_text(
    criterion: tuple[str, str], keyword: str, value: str, refused: bool
) -> None:
    line = Setting("/foreign", 1, keyword, value, (Block((criterion,)),))
    assert bool(policy.check_block(line, WANTED, [ADA, EVE])) == refused


def test_many_people_are_one_group_and_each_list_of_accounts_is_still_checked() -> None:
    people = [Account(f"person-{number}", ("admins",), required=True) for number in range(500)]
    lines = [Setting("/a", 1, "forcecommand", "x", (Block((("user", "person-7"),)),))]
    groups = policy.group_accounts([*people, EVE, Account("root", (), required=True)], lines)
    assert sorted(map(len, groups)) == [1, 1, 1, 499]
