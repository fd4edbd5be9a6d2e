#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key
short_description: Create, import, read and retire DKIM keys
version_added: 0.1.0
description:
  - Stores private keys in C(/etc/vise/dkim/<domain>/<selector>.pem), readable only by root, and the state of each key
    in the same directory.
  - Every execution returns all keys of all domains with the TXT values to publish. Without O(keys) it only reads.
  - The key of a selector cannot be changed, and the selector of a retired key cannot be used again, because resolvers
    and mail servers may have cached its record.
  - A private key is created on the host and is never part of a result, a diff, a log or a command line.
author:
  - vise.platform contributors (@vise-platform)
options:
  directory:
    description: Directory of the keys.
    type: path
    default: /etc/vise/dkim
  keys:
    description: The wanted state of keys; other keys are not changed.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The mail domain.
        type: str
        required: true
      selector:
        description: The key's selector, one DNS label.
        type: str
        required: true
      state:
        description:
          - V(present) creates the key when it does not exist, and does not change its state.
          - V(published), V(switching), V(active), V(retiring) record the state of the key. When a key becomes
            V(active), the previous active key becomes V(retiring) in the same step.
          - V(retired) records the end of its use, and removes the private key. Then publish the DNS records.
          - V(absent) removes the private key and its entry in the store. The module refuses this for a key that signs.
        type: str
        choices: [present, published, switching, active, retiring, retired, absent]
        default: present
      type:
        description: Type of a new key. Few verifiers support V(ed25519).
        type: str
        choices: [rsa, ed25519]
        default: rsa
      size:
        description: Bits of a new RSA key, 2048 to 4096.
        type: int
        default: 2048
      source:
        description: Path of a private key on the host to import, in PEM without a passphrase. The file is not changed.
        type: path
  private_keys:
    description:
      - Private keys to import, in PEM without a passphrase, by C(<domain>/<selector>) of an entry in O(keys).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Returns the planned changes; the TXT value of a planned key is empty.
    support: full
  diff_mode:
    description: State and TXT value of each key; never the private key.
    support: full
  platform:
    description: Hosts on which the module runs; they need C(python3-cryptography).
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Read all keys
  vise.platform.dkim_key:
  register: dkim

- name: Create a key
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2026}]

- name: Import the key of another mail server
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: old}]
    private_keys:
      example.org/old: "{{ vault_dkim_old }}"

- name: Import a key that is on the host
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: dkim, source: /root/dkim.pem}]

- name: Record that the key signs mail
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2026, state: active}]

- name: Retire the previous key
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2025, state: retired}]
"""

RETURN = r"""
dkim_keys:
  description:
    - All keys of all domains, also retired keys. C(since) is the time in UTC at which a key reached each state.
    - Publish the keys whose C(state) is not C(retired).
  returned: always
  type: list
  elements: dict
  sample:
    - domain: example.org
      selector: s2026
      record: s2026._domainkey.example.org
      type: rsa
      size: 2048
      txt: v=DKIM1; k=rsa; p=MIIBIjANBg...
      state: active
      since: {made: "2026-03-01T02:00:00Z", active: "2026-03-01T02:31:00Z"}
actions:
  description: The changes, or in check mode the planned changes, in order.
  returned: always
  type: list
  elements: str
  sample: [create an RSA key of 2048 bits for s2026._domainkey.example.org]
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, store
from ansible_collections.vise.platform.plugins.module_utils.host import leases

ARGUMENT_SPEC: dict[str, t.Any] = {
    "directory": {"type": "path", "default": store.ROOT},
    "keys": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "domain": {"type": "str", "required": True},
            "selector": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": [store.PRESENT, *store.STATES[1:], store.ABSENT],
                "default": store.PRESENT,
            },
            "type": {"type": "str", "choices": [keys.RSA, keys.ED25519], "default": keys.RSA},
            "size": {"type": "int", "default": 2048},
            "source": {"type": "path"},
        },
    },
    # A separate option, so that no_log hides it in the journal.
    "private_keys": {"type": "dict", "default": {}, "no_log": True},
}


def problems(wanted: list[dict[str, t.Any]], private_keys: t.Iterable[str]) -> list[str]:
    """Return the problems of the options."""
    names = [f"{one['domain']}/{one['selector']}" for one in wanted]
    found = [
        f"{name}: the key is listed more than once"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    found += [f"private_keys: {name} is not in keys" for name in sorted(set(private_keys) - set(names))]
    for one in wanted:
        found += keys.name_problems(one["domain"], one["selector"])
        if one["type"] == keys.RSA and not keys.SMALLEST <= one["size"] <= keys.LARGEST:
            found.append(f"{one['domain']}: an RSA key has {keys.SMALLEST} to {keys.LARGEST} bits, not {one['size']}")
    return found


def find_conflict(one: dict[str, t.Any], known: dict[str, t.Any] | None, stored: str, imported: str) -> str:
    """Return why a key cannot reach the wanted state; empty if it can."""
    state = one["state"]
    if known is None and state not in (store.PRESENT, store.ABSENT):
        return "the key does not exist: create it first"
    if known is None:
        return ""
    if known["state"] == store.RETIRED and state not in (store.RETIRED, store.ABSENT):
        return "the key was retired, and its selector cannot be used again: choose another selector"
    if state == store.ABSENT and known["state"] in (store.SWITCHING, store.ACTIVE):
        return "the key signs mail: rotate to another key first"
    if imported and stored != imported:
        return "the selector has another key, which cannot be changed: choose another selector"
    if not stored and state not in (store.RETIRED, store.ABSENT):
        return "the private key is missing: restore it from a backup, or set state to retired"
    return ""


def describe_action(one: dict[str, t.Any], known: dict[str, t.Any] | None, stored: str, imported: str) -> str:
    """Describe the change of one key; empty if it has the wanted state."""
    name, state = keys.record(one["domain"], one["selector"]), one["state"]
    if state == store.ABSENT:
        return f"remove {name}" if known or stored else ""
    if known is None:
        kind = "an Ed25519 key" if one["type"] == keys.ED25519 else f"an RSA key of {one['size']} bits"
        return f"import a key for {name}" if imported else f"create {kind} for {name}"
    not_removed = state == store.RETIRED and stored
    return f"record {name} as {state}" if not_removed or state not in (store.PRESENT, known["state"]) else ""


def read_import(one: dict[str, t.Any], private_keys: dict[str, t.Any]) -> str:
    """Return the private key to import; empty when there is none."""
    text = private_keys.get(f"{one['domain']}/{one['selector']}", "")
    if one["source"] and not text:
        with open(one["source"], encoding="ascii", errors="replace") as handle:
            text = handle.read()
    return keys.normalize(text) if text and keys.HAS_CRYPTOGRAPHY else text


def apply(root: str, one: dict[str, t.Any], index: store.Index, pem: str, at: str) -> None:
    """Apply the wanted state of one key. If this is interrupted, the same call completes it."""
    domain, selector, state = one["domain"], one["selector"], one["state"]
    if selector not in index and state == store.PRESENT:
        pem = pem or keys.create(one["type"], one["size"])
        store.write(store.key_path(root, domain, selector), pem)
        store.write_index(root, domain, {**index, selector: store.entry(pem, at)})
        return
    if state == store.ABSENT:
        store.remove_key(root, domain, selector)
    store.write_index(root, domain, store.set_state(index, selector, state, at))
    if state == store.RETIRED:
        store.remove_key(root, domain, selector)


def predict_index(one: dict[str, t.Any], index: store.Index, at: str) -> store.Index:
    """Return the index after the change; a planned key has an empty TXT value."""
    if one["selector"] in index or one["state"] == store.ABSENT:
        return store.set_state(index, one["selector"], one["state"], at)
    size = 256 if one["type"] == keys.ED25519 else one["size"]
    new = {"type": one["type"], "size": size, "txt": "", "state": store.MADE, "since": {store.MADE: at}}
    return {**index, one["selector"]: new}


class Step(t.NamedTuple):
    """The change of one key."""

    one: dict[str, t.Any]
    text: str
    pem: str


def plan_step(root: str, one: dict[str, t.Any], index: store.Index, private_keys: dict[str, t.Any]) -> Step:
    """Compare the wanted state of one key with the store."""
    known, stored = index.get(one["selector"]), store.read_key(root, one["domain"], one["selector"])
    try:
        pem = read_import(one, private_keys)
        problem = find_conflict(one, known, keys.normalize(stored) if stored and pem else stored, pem)
    except (keys.DkimError, OSError) as error:
        pem, problem = "", str(error)
    if problem:
        raise keys.DkimError(f"{keys.record(one['domain'], one['selector'])}: {problem}")
    return Step(one, describe_action(one, known, stored, pem), pem)


def plan(params: dict[str, t.Any], at: str) -> tuple[list[Step], list[dict[str, t.Any]]]:
    """Return the steps to the wanted state, and all keys after them; raise one error with all problems."""
    root, steps, found = params["directory"], [], []
    future = {domain: store.read_index(root, domain, at) for domain in store.domains(root)}
    for one in params["keys"]:
        index = future.get(one["domain"], {})
        try:
            steps.append(plan_step(root, one, index, params["private_keys"]))
        except keys.DkimError as error:
            found.append(str(error))
        else:
            future[one["domain"]] = predict_index(one, index, at) if steps[-1].text else index
    if found:
        raise keys.DkimError("\n".join(found))
    after = [store.describe(domain, *pair) for domain in sorted(future) for pair in sorted(future[domain].items())]
    return [one for one in steps if one.text], after


def converge(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Apply the wanted state; return the result of the module."""
    root, at = params["directory"], datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = store.list_keys(root, at)
    steps, after = plan(params, at)
    actions = [one.text for one in steps] + [f"restrict {path} to root" for path, _mode in store.find_unprotected(root)]
    if not check:
        store.protect(root)
        for one in steps:
            apply(root, one.one, store.read_index(root, one.one["domain"], at), one.pem, at)
        after = store.list_keys(root, at)
    diff = {"diff": {"before": describe_keys(before), "after": describe_keys(after)}} if actions else {}
    return {"changed": bool(actions), "dkim_keys": after, "actions": actions, **diff}


def describe_keys(found: list[dict[str, t.Any]]) -> str:
    """Return keys in the form of the diff."""
    return "".join(f"{one['record']} {one['state']} {one['txt']}\n" for one in found)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    params = module.params
    found = problems(params["keys"], params["private_keys"])
    if params["keys"] and not keys.HAS_CRYPTOGRAPHY and not module.check_mode:
        found.append("python3-cryptography is not installed on the host: install this package")
    if found:
        module.fail_json(msg="\n".join(found))
    try:
        if module.check_mode or not params["keys"]:
            result = converge(params, module.check_mode)
        else:
            with store.lock(params["directory"]):
                store.remove_temporary_files(params["directory"])
                result = converge(params, check=False)
    except keys.DkimError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
