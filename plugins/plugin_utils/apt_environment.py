# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of Ansible's module apt, when an action plugin of the collection installs packages by it."""

from __future__ import annotations

import contextlib
import typing as t

APT = "ansible.builtin.apt"
# apt takes its proxy from its own configuration; an empty variable counts as none.
VARIABLES = {"http_proxy": "", "https_proxy": "", "APT_CONFIG": ""}


@contextlib.contextmanager
def own_configuration(task: t.Any, module: str) -> t.Iterator[None]:
    """Let a module run without the variables that change what apt does, if it is the module apt.

    Args:
        task: the task of the action plugin; its `environment` is restored.
        module: the name of the module that runs in this context.
    """
    given = task.environment
    if module == APT:
        task.environment = [*(given or []), VARIABLES]
    try:
        yield
    finally:
        task.environment = given
