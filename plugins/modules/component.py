#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Manage packages, accounts, files and units of one service in a transaction
version_added: 0.1.0
description:
  - Brings the packages, accounts, files and units of a service to their wanted state, and proves that it is live.
  - The action plugin renders the templates on the controller. One module execution then compares the state of the
    host with the wanted state. When nothing differs, no second execution follows.
  - When something differs, O(check) first validates the new files in a private mount namespace, where no other process
    sees them. Then the module replaces the files, activates them and runs the probes. When one of these steps fails,
    the module rolls back to the previous files and configuration, and the task fails with the reason.
  - A killed run leaves a journal in C(/var/lib/vise/components/<name>/pending.json); the next run completes the change.
  - A file that the component did not write, and that no package shipped like this, is copied to
    C(/var/lib/vise/taken-over) before it is replaced or removed. If it belongs to a service that was in use before
    the first run of its component, such as the sites of an nginx, the task fails before anything changes, unless the
    variable C(preflight_take_over) lists the service.
  - The module removes files and links that the component created and that are no longer part of it.
  - It closes users that are no longer part of it. A closed user is locked, has expired and is in no group; its
    sessions, processes, timers, crontab and jobs are ended. The account and its home directory stay, so that no other
    account gets its number or its files. What still belongs to it or names it is reported as a warning.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: The component's name, unique on a host.
    type: str
    required: true
  packages:
    description:
      - Debian packages to install with M(ansible.builtin.apt), without recommended packages, each as C(NAME),
        C(NAME:ARCHITECTURE), C(NAME=VERSION) (the version may be a glob), C(NAME>=VERSION) or C(NAME/RELEASE).
      - A name that only other packages provide is satisfied by one of them.
      - apt simulates the installation first. If it cannot install a package, or would remove packages that are not in
        O(absent_packages), the task fails before anything changes.
      - What an interrupted dpkg left unfinished is completed and reported.
    type: list
    elements: str
    default: []
  absent_packages:
    description: Debian packages to remove.
    type: list
    elements: str
    default: []
  groups:
    description: Groups to create or change with M(ansible.builtin.group).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The group's name.
        type: str
        required: true
      gid:
        description: Group number. By default the system assigns one.
        type: int
      system:
        description: Whether a new group gets a number from the system's range.
        type: bool
        default: false
  users:
    description: Users to create or change with M(ansible.builtin.user). They have no password.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      uid:
        description: User number. By default the system assigns one.
        type: int
      group:
        description: Primary group.
        type: str
      groups:
        description: All supplementary groups; the user is removed from other groups.
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
        description: Whether a new user gets a number from the system's range.
        type: bool
        default: false
  directories:
    description:
      - Directories to create, with owner, group and mode.
      - The directories above the component's paths in C(/etc/vise), C(/usr/local/lib/vise), C(/var/lib/vise) and
        C(/var/lib/prometheus) are part of every component, with mode C(0755) unless they are listed with another one.
      - Other content of a directory is not changed. A directory that is no longer listed is not removed.
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
    description: Files, each rendered from a template or from literal content.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description:
          - Absolute path. With O(files[].each), it may contain keys of the entry in braces, for example
            C(/etc/nginx/sites-enabled/{name}.conf).
        type: str
        required: true
      src:
        description: Template in the role's C(templates/). The default is the file name of O(files[].dest) plus C(.j2).
        type: str
      content:
        description: Literal content instead of a template.
        type: str
      each:
        description: A list of mappings. One file is rendered for each entry; the template sees the entry as C(item).
        type: list
        elements: dict
      vars:
        description: Additional variables for the template.
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
        description: Four octal digits. The default is C(0644), or C(0600) with O(files[].secret=true).
        type: str
      secret:
        description: Whether to hide the content in a diff.
        type: bool
        default: false
  programs:
    description:
      - Programs of the collection to install. Each one is a module of the collection with a function C(main), which
        takes the arguments and returns the exit code.
      - The module and all files that it imports are copied to C(/usr/local/lib/vise/<name>/). The command is
        C(/usr/local/sbin/vise-<name>). A diff shows one line per program.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The program's name, unique on a host, in lower case.
        type: str
        required: true
      module:
        description: The module, dotted, below C(plugins/module_utils).
        type: str
        required: true
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
        description: Target of the link.
        type: str
        required: true
  absent:
    description: Paths to remove. A directory is removed only when it is empty, otherwise the task fails.
    type: list
    elements: str
    default: []
  purge:
    description: Globs. Each path that matches and is not one of the component's paths is removed.
    type: list
    elements: str
    default: []
  foreign:
    description:
      - Places in which files of others have an effect on the service, or seem to have one. Each file there that neither
        the component nor a package has written is reported as a warning in each run.
    type: list
    elements: dict
    default: []
    suboptions:
      paths:
        description: Globs.
        type: list
        elements: str
        required: true
      effect:
        description: What such a file means, for the operator.
        type: str
        required: true
  check:
    description:
      - A command, or a list of commands, that validates the new files before they are live, for example C(nginx -t).
      - It runs in a private mount namespace that contains the new files at their real paths. When it fails, nothing is
        changed.
    type: list
    elements: raw
    default: []
  commands:
    description: Commands that activate changed files. They run before the units are changed.
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
        description: Globs of the files whose change needs this command; C(*) also matches slashes.
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
        description: Name of the unit; without a suffix it is a service.
        type: str
        required: true
      state:
        description: Whether the unit runs; V(any) for a unit that may be stopped, such as one that a timer starts.
        type: str
        choices: [started, stopped, any]
        default: started
      enabled:
        description: Whether the unit starts at boot.
        type: bool
        default: true
      activation:
        description: How the unit activates a changed file.
        type: str
        choices: [restart, reload, none]
        default: restart
      watch:
        description: Globs of the files whose change the unit must activate; C(*) also matches slashes.
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
      - Commands that prove that the wanted configuration is live. They must not change anything.
      - They run each time. When a probe fails although no file differs, the units are activated again.
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
        description: Text that the command must print; C({generation}) is replaced by the component's generation.
        type: str
      timeout:
        description: Seconds for which the command is retried after an activation.
        type: int
        default: 10
  confirm:
    description:
      - For a change that could prevent the next login, for example of sshd or of the firewall, or that could close a
        service to its visitors.
      - Before the first file changes, the host starts a timer that reverts the change, also after a reboot. When the
        new configuration is live, the action plugin compares what answers to the controller with what answered before,
        logs in by a new connection, and commits the change there. When this fails, the change is rolled back and the
        task fails.
    type: dict
    suboptions:
      timeout:
        description: Seconds until the host reverts a change that the controller has not confirmed.
        type: int
        default: 60
      ports:
        description: Ports to try after the one of the inventory, for example a new port of sshd.
        type: list
        elements: int
        default: []
      open_ports:
        description:
          - TCP ports to which the controller connects before and after the change.
          - When one answered before and does not answer any more, the change is rolled back. One that never answered
            proves nothing and is only reported.
        type: list
        elements: int
        default: []
      login:
        description: Whether a new login must confirm the change. Otherwise the open connection does.
        type: bool
        default: true
      sites:
        description:
          - Sites that the controller requests by HTTPS at the address of the host, before and after the change. Their
            certificates are not verified.
          - When one answered before and its answer after the change is worse, the change is rolled back. Worse is an
            error (400 or higher) after a success, a server error after another one, or no answer.
        type: list
        elements: dict
        default: []
        suboptions:
          domain:
            description: Domain of the site. C(*) is replaced by C(any).
            type: str
            required: true
          port:
            description: Port of the site.
            type: int
            required: true
          locked:
            description: Whether the site may refuse this controller by its description. Then only the handshake counts.
            type: bool
            default: false
      advice:
        description: Ends the message of a failure. C({user}) is replaced by the user of the connection.
        type: str
        default: ""
      answers:
        description: What the host answered to the controller before the change. The action plugin sets it.
        type: list
        elements: list
  generation:
    description:
      - Hash over all rendered options, 12 hexadecimal digits. The action plugin sets it.
      - Templates see it as C(component_generation).
    type: str
    default: ""
  code:
    description:
      - Digest of the code of this module. The action plugin sets it.
      - A successful run stores it on the host with a record of the state that it has proved. The survey of preflight
        compares the host with this record.
    type: str
    default: ""
  take_over:
    description:
      - Services whose state on this host may be replaced in the first run of their component.
      - The action plugin sets it from the variable C(preflight_take_over).
    type: list
    elements: str
    default: []
  prepared:
    description: Whether packages, groups and users are complete. The action plugin sets it for the second execution.
    type: bool
    default: false
  lease:
    description:
      - The run that changes the host, as in C(run), C(who) and C(command). The action plugin sets it.
      - Another run is refused until this one has ended, or has given no sign for ten minutes. C(ends) names the run
        whose lease ends earlier. The action plugin sets it from the variable C(end_lease).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reports all steps and changes nothing. O(check) runs unless packages, groups or users differ.
    support: full
  diff_mode:
    description: One diff per file. For a secret it reports only whether the content differs.
    support: full
"""

EXAMPLES = r"""
- name: Configure nginx
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
      - argv: [curl, -qfsS, --unix-socket, /run/nginx-generation.sock, http://localhost/]
        expect: "{generation}"

- name: Configure a timer and its service
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
  description: The steps that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: [write /etc/nginx/nginx.conf, reload nginx.service]
copies:
  description:
    - The files and links of others that the component has replaced or removed, with their copies. Each one is a
      warning, too.
  returned: when a file that the component did not write, and that no package shipped like this, was replaced or removed
  type: list
  elements: dict
  sample:
    - path: /etc/chrony/chrony.conf
      copy: /var/lib/vise/taken-over/base/20261130T031500Z/etc/chrony/chrony.conf
generation:
  description: Hash over all rendered options.
  returned: always
  type: str
  sample: 3f2a9c81d0b7
prerequisites:
  description:
    - Packages, groups and users that other modules must change first. The action plugin runs these modules and removes
      this key, so the result of a task does not contain it.
  returned: when packages, groups or users differ, not in check mode
  type: dict
  sample:
    packages: [nginx]
    absent_packages: []
    groups: []
    users: []
    absent_users: []
    unfinished_packages: []
    closed_users: []
login_port:
  description: Port of the login that confirmed the change, when it is not the port of the inventory.
  returned: when O(confirm) is set and one of O(confirm.ports) was needed
  type: int
  sample: 2222
unreached:
  description: What this controller did not reach before the change, so that it was not compared.
  returned: when O(confirm.open_ports) or O(confirm.sites) is set, something changed and there are any
  type: list
  elements: str
  sample: [port 25]
awaited_answers:
  description:
    - The module must know what the host answers to the controller before it changes anything. These are the answers
      from before a change that waits already. The action plugin probes the host and removes the key, so the result of a
      task does not contain it.
  returned: when O(confirm.open_ports) or O(confirm.sites) is set and something differs, not in check mode
  type: list
  elements: list
  sample: []
held_by:
  description:
    - The lease of another run, which changes the host now. The action plugin refuses the task, or ends the lease of a
      run that is dead, and removes the key, so the result of a task does not contain it.
  returned: when another run has the lease of the host, not in check mode
  type: dict
  sample: {who: alice, origin: laptop, command: site.yml, since: 1796000000, silent: 12}
unconfirmed:
  description:
    - Whether the change waits for the controller to confirm it. The action plugin does this and removes the key, so the
      result of a task does not contain it.
  returned: when O(confirm) is set and something changed, not in check mode
  type: bool
"""

import contextlib
import dataclasses
import os
import signal
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component import (
    confirmation,
    copies,
    host,
    plan,
    take_over,
    transaction,
)
from ansible_collections.vise.platform.plugins.module_utils.component.model import Wanted
from ansible_collections.vise.platform.plugins.module_utils.component.spec import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store
from ansible_collections.vise.platform.plugins.module_utils.host import accounts, leases, programs


def converge(
    wanted: Wanted, store: Store, check_mode: bool, permitted: t.Container[str] = (), prepared: bool = False
) -> tuple[transaction.Plan, bool, list[copies.Copy]]:
    """Bring the host to the wanted state; return the plan, whether other modules must act first, and the copies.

    Args:
        wanted: the wanted state.
        store: the component's files on the host.
        check_mode: whether to change nothing.
        permitted: services whose state on this host may be taken over from others.
        prepared: whether other modules have acted: what the packages brought is not of others.
    """
    steps = transaction.inspect(wanted, store)
    if not prepared:
        steps = dataclasses.replace(steps, foreign=tuple(take_over.find(wanted, steps, store, permitted)))
    if not check_mode and needs_answers(wanted, steps):
        return steps, True, []
    if not check_mode and steps.prerequisites.actions():
        prerequisites = transaction.prepare_packages(wanted.name, steps.prerequisites)
        steps = dataclasses.replace(steps, prerequisites=prerequisites)
        kept = copies.keep(wanted.name, steps.foreign)
        transaction.begin(wanted, store)
        return steps, True, kept
    if steps.actions() or steps.unfinished:
        transaction.validate(wanted, steps)
        if not check_mode:
            kept = copies.keep(wanted.name, steps.foreign)
            transaction.apply(wanted, steps, store)
            return steps, False, kept
    elif steps.probe_failure:
        raise host.HostError(f"{wanted.name}: no file differs, but {steps.probe_failure}")
    elif not check_mode:
        transaction.record(wanted, store)
    return steps, False, []


def needs_answers(wanted: Wanted, steps: transaction.Plan) -> bool:
    """Return whether the controller must probe the host before this change."""
    return wanted.answers is None and bool(steps.actions() or steps.unfinished)


def change_accounts(prerequisites: transaction.Prerequisites) -> list[str]:
    """Close and reopen users; return what is left of the closed ones, for the operator."""
    own = [user for user in prerequisites.absent_users if accounts.is_own(user)]
    if own:
        raise host.HostError(
            f"refused, {own[0]} was not removed: this run is logged in as {own[0]}; set ansible_user to another account"
        )
    for user in prerequisites.closed_users:
        accounts.reopen(user)
    return [text for user in prerequisites.absent_users for text in accounts.close(user)]


def build_result(steps: transaction.Plan, incomplete: bool, show_diff: bool) -> dict[str, t.Any]:
    """Return the module's result for a plan."""
    actions = steps.actions()
    result: dict[str, t.Any] = {"changed": bool(actions or steps.unfinished), "actions": actions}
    if incomplete:
        result["prerequisites"] = dataclasses.asdict(steps.prerequisites)
    if show_diff and not incomplete:
        result["diff"] = plan.build_diffs(steps.changes)
        shown = {plan.describe_change(change) for change in steps.changes}
        others = [action for action in actions if action not in shown]
        result["diff"] += [{"prepared": "".join(f"> {action}\n" for action in others)}] if others else []
    return result


class QuietModule(AnsibleModule):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """A module that does not log its parameters to the host's journal, because they contain secrets."""

    def _log_invocation(self) -> None:
        """Log nothing. The attribute no_log is not enough: the controller's setting overrides it."""


def stop(number: int, _frame: object) -> None:
    """End by an exception, so that a running command ends with its module; the journal stays, as after a kill."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run as a module."""
    module = QuietModule(ARGUMENT_SPEC, supports_check_mode=True)
    # A stricter umask of the calling user would close the parent directories of a file to its readers.
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    wanted = Wanted.from_params(module.params)
    store = Store(wanted.name)
    try:
        other = leases.take(module.params["lease"]) if module.params["lease"] and not module.check_mode else {}
        if other:
            module.exit_json(changed=False, held_by=other, generation=wanted.generation, invocation={})
        leases.keep_alive(module.check_mode)
        # No lock in check mode, because a lock creates a file.
        with contextlib.nullcontext() if module.check_mode else store.lock():
            permitted, prepared = module.params["take_over"], module.params["prepared"]
            steps, incomplete, kept = converge(wanted, store, module.check_mode, permitted, prepared)
            if incomplete and module.params["lease"]:
                # apt may wait for a slow mirror, and the next execution of this module renews the lease.
                leases.take(module.params["lease"], leases.LONG_SECONDS)
            awaited = confirmation.read_answers(store) if incomplete and needs_answers(wanted, steps) else None
            for warning in change_accounts(steps.prerequisites) if incomplete and awaited is None else ():
                module.warn(warning)
    except (host.HostError, programs.ProgramError, OSError) as error:
        module.fail_json(msg=str(error), invocation={})
    if awaited is not None:
        module.exit_json(changed=False, awaited_answers=awaited, generation=wanted.generation, invocation={})
    for one in kept:
        module.warn(copies.describe(wanted.name, one))
    for text in () if incomplete else steps.reported:
        module.warn(f"{wanted.name}: {text}")
    result = build_result(steps, incomplete, module._diff)
    result |= {"copies": [one._asdict() for one in kept]} if kept else {}
    if wanted.confirm_within and result["changed"] and not incomplete and not module.check_mode:
        result["unconfirmed"] = confirmation.is_pending(store)
    module.exit_json(generation=wanted.generation, invocation={}, **result)


if __name__ == "__main__":
    main()
