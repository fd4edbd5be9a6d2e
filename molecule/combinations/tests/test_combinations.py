"""Each pair of values of a role's options gives files that the role's program accepts, or that the role refuses."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from testinfra.host import Host

from tests import combinations

ROLES = sorted(path.stem for path in combinations.FOLDER.glob("*.yml"))


@pytest.mark.parametrize("name", ROLES)
def test_program_accepts_the_files_of_each_combination(name: str, host: Host) -> None:
    role = combinations.Role(name)
    variables = role.combinations()
    failures = combinations.check(host, role, [role.render(one) for one in variables])
    rejected = [f"{one}\n{failure}" for one, failure in zip(variables, failures, strict=True) if failure]
    assert not rejected, "\n\n".join(rejected)


@pytest.mark.parametrize("name", ROLES)
def test_role_refuses_the_pairs_that_contradict_each_other(name: str) -> None:
    role = combinations.Role(name)
    for variables, message in role.refused():
        with pytest.raises(AnsibleError, match=message):
            role.render(variables)
