#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Keep packages, accounts, files and units of one service as wanted, as a transaction
version_added: 0.1.0
description:
  - Brings everything that a service keeps on a host to its wanted state, and proves that it is live.
  - The templates are rendered on the controller. One module execution then compares the real state of the host with
    what is wanted; when nothing differs, that is all.
  - When something differs, the new files are first checked by the program's own check in a private mount namespace,
    where nobody else sees them. Then they are swapped in, activated and probed. When that fails, the old files and
    the old configuration are put back and the task fails with the reason.
  - A run that was killed anywhere leaves a journal in C(/var/lib/vise/components/<name>/pending.json); the next run
    finishes the change.
  - Files, links and users that the component has made and no longer wants are removed. The home directory of a
    removed user is kept.
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: The component's name, unique on a host.
    type: str
    required: true
  packages:
    description: Debian packages that must be installed, without recommended ones; brought by M(ansible.builtin.apt).
    type: list
    elements: str
    default: []
  absent_packages:
    description: Debian packages that must not be installed.
    type: list
    elements: str
    default: []
  groups:
    description: Groups that must exist; made by M(ansible.builtin.group).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The group's name.
        type: str
        required: true
      gid:
        description: Its number, if that matters.
        type: int
      system:
        description: Whether it gets a number from the system's range when it is made.
        type: bool
        default: false
  users:
    description: Users that must exist; made and changed by M(ansible.builtin.user). They have no password.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      uid:
        description: The user's number, if that matters.
        type: int
      group:
        description: Primary group.
        type: str
      groups:
        description: All supplementary groups; the user is removed from others.
        type: list
        elements: str
        default: []
      comment:
        description: Full name or purpose.
        type: str
      home:
        description: Home directory.
        type: str
      shell:
        description: Login shell.
        type: str
      system:
        description: Whether the user gets a number from the system's range when it is made.
        type: bool
        default: false
  directories:
    description: Directories that must exist. Their contents, and they themselves once unwanted, are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Four octal digits.
        type: str
        default: "0755"
  files:
    description: Files, each from a template or from literal content.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description:
          - Absolute path. With O(files[].each), braces name keys of the entry, as in
            C(/etc/nginx/sites-enabled/{name}.conf).
        type: str
        required: true
      src:
        description: A template in the role's C(templates/); the default is the name of the file with C(.j2) behind it.
        type: str
      content:
        description: Literal content instead of a template.
        type: str
      each:
        description: Mappings, one file an entry; the template sees the entry as C(item).
        type: list
        elements: dict
      vars:
        description: Further variables for the template.
        type: dict
        default: {}
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Four octal digits; the default is C(0644), for a secret C(0600).
        type: str
      secret:
        description: Whether the content must not be shown in a diff.
        type: bool
        default: false
  links:
    description: Symbolic links.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      target:
        description: What it points to.
        type: str
        required: true
  absent:
    description: Paths at which there must be nothing; a directory is removed only when it is empty.
    type: list
    elements: str
    default: []
  purge:
    description: Globs; what matches and is not one of the component's files or links is removed.
    type: list
    elements: str
    default: []
  check:
    description:
      - A command, or a list of commands, that must succeed where the new files are already in place.
      - It sees them at their real paths, in a private mount namespace. When it fails, nothing was changed.
    type: list
    elements: raw
    default: []
  commands:
    description: Commands that make changed files take effect, run before the units are touched.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description: The command.
        type: list
        elements: str
        required: true
      watch:
        description: Globs of the files whose change needs it; C(*) crosses slashes.
        type: list
        elements: str
        default: ["*"]
  units:
    description: systemd units, in the order in which they are changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The unit; without a suffix it is a service.
        type: str
        required: true
      state:
        description: Whether it runs; V(any) for a unit that runs only now and then.
        type: str
        choices: [started, stopped, any]
        default: started
      enabled:
        description: Whether it starts at boot.
        type: bool
        default: true
      activation:
        description: What a changed file needs.
        type: str
        choices: [restart, reload, none]
        default: restart
      watch:
        description: Globs of the files whose change matters to it; C(*) crosses slashes.
        type: list
        elements: str
        default: ["*"]
      restart_on:
        description: Globs of the files that need a restart although O(units[].activation=reload).
        type: list
        elements: str
        default: []
  probe:
    description:
      - Commands that prove that the wanted configuration is live. They must only read.
      - They run each time. One that fails although no file differs makes the units activate again.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description: The command; it must exit with 0.
        type: list
        elements: str
        required: true
      expect:
        description: Text that it must print; C({generation}) stands for the component's generation.
        type: str
      timeout:
        description: Seconds for which it is asked again after an activation.
        type: int
        default: 10
  generation:
    description:
      - Hash over everything that is rendered, 12 hexadecimal digits; set by the action plugin.
      - Templates see it as C(component_generation).
    type: str
    default: ""
attributes:
  check_mode:
    description: The plan is complete, and the program's check runs, when its package is installed; nothing changes.
    support: full
  diff_mode:
    description: One diff a file. Of secrets it only says whether they differ.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Keep nginx configured and live
  vise.platform.component:
    name: nginx
    packages: [nginx, curl]
    files:
      - dest: /etc/nginx/nginx.conf
      - dest: "/etc/nginx/sites-enabled/{name}.conf"
        src: site.conf.j2
        each: "{{ nginx_sites }}"
    purge: ["/etc/nginx/sites-enabled/*"]
    check: [nginx, -t]
    units:
      - name: nginx
        activation: reload
    probe:
      - argv: [curl, -fsS, --unix-socket, /run/nginx-generation.sock, http://localhost/]
        expect: "{generation}"

- name: Keep a timer with its service
  vise.platform.component:
    name: renewal
    files:
      - {dest: /etc/systemd/system/renewal.service}
      - {dest: /etc/systemd/system/renewal.timer}
      - {dest: /etc/renewal/token, content: "{{ vault_renewal_token }}", secret: true}
    units:
      - {name: renewal.timer}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [write /etc/nginx/nginx.conf, reload nginx.service]
generation:
  description: Hash over everything that was rendered.
  returned: always
  type: str
  sample: 3f2a9c81d0b7
needs:
  description: What other modules have to bring first; the action plugin answers it, so no task's result has it.
  returned: when packages, groups or users differ
  type: dict
  sample: {packages: [nginx], absent_packages: [], groups: [], users: [], absent_users: []}
"""

import contextlib
import dataclasses
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component import host, plan, transaction
from ansible_collections.vise.platform.plugins.module_utils.component.model import Wanted
from ansible_collections.vise.platform.plugins.module_utils.component.spec import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store


def converge(wanted: Wanted, store: Store, check_mode: bool) -> tuple[transaction.Plan, bool]:
    """Bring the host to the wanted state; return the plan and whether other modules have to act first."""
    found = transaction.inspect(wanted, store)
    if not check_mode and found.needs.actions():
        transaction.claim(wanted, store)
        for user in found.needs.absent_users:
            host.end_sessions(user)
        return found, True
    if found.actions() or found.unfinished:
        transaction.refuse(wanted, found)
        if not check_mode:
            transaction.apply(wanted, found, store)
    elif found.stale:
        raise host.HostError(f"{wanted.name}: {found.stale}")
    elif not check_mode:
        transaction.settle(wanted, store)
    return found, False


def result(found: transaction.Plan, incomplete: bool, show_diff: bool) -> dict[str, t.Any]:
    """Return what the module says of a run."""
    actions = found.actions()
    answer: dict[str, t.Any] = {"changed": bool(actions or found.unfinished), "actions": actions}
    if incomplete:
        answer["needs"] = dataclasses.asdict(found.needs)
    if show_diff and not incomplete:
        steps = [action for action in actions if action not in map(plan.describe, found.changes)]
        answer["diff"] = [plan.diff(change) for change in found.changes]
        answer["diff"] += [{"prepared": "".join(f"> {step}\n" for step in steps)}] if steps else []
    return answer


class QuietModule(AnsibleModule):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """A module that keeps its parameters, which hold the content of secrets, out of the host's journal."""

    def _log_invocation(self) -> None:
        """Log nothing: the controller's no_log setting overrules what a module asks for itself."""


def main() -> None:
    """Run as a module."""
    module = QuietModule(ARGUMENT_SPEC, supports_check_mode=True)
    # Whoever runs it may have another, and directories on the way to a file would be closed to those who read it.
    os.umask(0o022)
    wanted = Wanted.from_params(module.params)
    store = Store(wanted.name)
    try:
        # Check mode changes nothing, and a lock is a file.
        with contextlib.nullcontext() if module.check_mode else store.locked():
            found, incomplete = converge(wanted, store, module.check_mode)
    except (host.HostError, OSError) as error:
        module.fail_json(msg=str(error), invocation={})
    module.exit_json(generation=wanted.generation, invocation={}, **result(found, incomplete, module._diff))


if __name__ == "__main__":
    main()
