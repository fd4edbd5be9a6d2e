#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_key
short_description: Make, import, read and retire the keys by which mail is signed
version_added: 0.1.0
description:
  - Keeps private keys in C(/etc/vise/dkim/<domain>/<selector>.pem), readable by root alone, and beside them how far
    each is on its way from the DNS into signatures and out again.
  - Every execution returns all keys of all domains with the TXT values to publish, so that without O(keys) it reads.
  - A selector never changes its key, and a retired one is never used again, since the world has seen what it said.
  - A private key is made on the host and leaves it neither in a result nor in a diff, a log or a command line.
author:
  - vise.platform contributors (@vise-platform)
options:
  directory:
    description: Where the keys lie.
    type: path
    default: /etc/vise/dkim
  keys:
    description: What is wanted of keys; others are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain that signs.
        type: str
        required: true
      selector:
        description: The key's name, one label of the DNS.
        type: str
        required: true
      state:
        description:
          - V(present) makes the key when there is none, and leaves its state alone.
          - V(published), V(switching), V(active), V(retiring) note how far the key is. The one that was V(active)
            before begins to retire in the same step.
          - V(retired) notes that it is done with, and removes the private key. Publish the DNS after this.
          - V(absent) removes all that is known of it. It is refused for a key that signs.
        type: str
        choices: [present, published, switching, active, retiring, retired, absent]
        default: present
      type:
        description: Kind of a new key. Few verifiers know V(ed25519).
        type: str
        choices: [rsa, ed25519]
        default: rsa
      size:
        description: Bits of a new RSA key, 2048 to 4096.
        type: int
        default: 2048
      source:
        description: A private key on the host to import, in PEM without a passphrase. It stays where it is.
        type: path
  private_keys:
    description:
      - Private keys to import, in PEM without a passphrase, by C(<domain>/<selector>) of an entry in O(keys).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says what would be made or noted; the TXT value of a key that is not made yet is empty.
    support: full
  diff_mode:
    description: Each key's state and TXT value; never the private key.
    support: full
  platform:
    description: Hosts on which it runs; C(python3-cryptography) must be there.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Read all keys
  vise.platform.dkim_key:
  register: dkim

- name: Make a key
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2026}]

- name: Import the key by which another server signed until now
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: old}]
    private_keys:
      example.org/old: "{{ vault_dkim_old }}"

- name: Import a key that lies on the host
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: dkim, source: /root/dkim.pem}]

- name: Note that mail is signed by it
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2026, state: active}]

- name: Retire another
  vise.platform.dkim_key:
    keys: [{domain: example.org, selector: s2025, state: retired}]
"""

RETURN = r"""
dkim_keys:
  description:
    - All keys of all domains, retired ones included. C(since) says when a key came to each state, in UTC.
    - Publish those whose C(state) is not C(retired).
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
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [make an RSA key of 2048 bits for s2026._domainkey.example.org]
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, store

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
    # Beside the list and not inside, so that the journal holds none of it.
    "private_keys": {"type": "dict", "default": {}, "no_log": True},
}


def problems(wanted: list[dict[str, t.Any]], given: t.Iterable[str]) -> list[str]:
    """Say what cannot be, before anything is touched."""
    names = [f"{one['domain']}/{one['selector']}" for one in wanted]
    found = [f"{name}: wanted more than once" for name in sorted({name for name in names if names.count(name) > 1})]
    found += [f"private_keys: {name} is not in keys" for name in sorted(set(given) - set(names))]
    for one in wanted:
        found += keys.name_problems(one["domain"], one["selector"])
        if one["type"] == keys.RSA and not keys.SMALLEST <= one["size"] <= keys.LARGEST:
            found.append(f"{one['domain']}: an RSA key has {keys.SMALLEST} to {keys.LARGEST} bits, not {one['size']}")
    return found


def refusal(one: dict[str, t.Any], known: dict[str, t.Any] | None, held: str, brought: str) -> str:
    """Say why a key cannot come to what is wanted; nothing when it can."""
    state = one["state"]
    if known is None and state not in (store.PRESENT, store.ABSENT):
        return "there is no such key: make it first"
    if known is None:
        return ""
    if known["state"] == store.RETIRED and state not in (store.RETIRED, store.ABSENT):
        return "it was retired, and a selector is not used twice: take another one"
    if state == store.ABSENT and known["state"] in (store.SWITCHING, store.ACTIVE):
        return "mail is signed by it: retire it first"
    if brought and held != brought:
        return "it has another key already, and a selector never changes its key: take another one"
    if not held and state not in (store.RETIRED, store.ABSENT):
        return "its private key is gone: put it back from a backup, or retire it"
    return ""


def action(one: dict[str, t.Any], known: dict[str, t.Any] | None, held: str, brought: str) -> str:
    """Say what has to be done for one key; nothing when it is as wanted."""
    name, state = keys.record(one["domain"], one["selector"]), one["state"]
    if state == store.ABSENT:
        return f"remove {name}" if known or held else ""
    if known is None:
        kind = "an Ed25519 key" if one["type"] == keys.ED25519 else f"an RSA key of {one['size']} bits"
        return f"import a key for {name}" if brought else f"make {kind} for {name}"
    left = state == store.RETIRED and held
    return f"note that {name} is {state}" if left or state not in (store.PRESENT, known["state"]) else ""


def brought(one: dict[str, t.Any], given: dict[str, t.Any]) -> str:
    """Return the private key that is to be imported; nothing when none is."""
    text = given.get(f"{one['domain']}/{one['selector']}", "")
    if one["source"] and not text:
        with open(one["source"], encoding="ascii", errors="replace") as handle:
            text = handle.read()
    return keys.normal(text) if text and keys.HAS_CRYPTOGRAPHY else text


def apply(root: str, one: dict[str, t.Any], index: store.Index, pem: str, at: str) -> None:
    """Bring one key to what is wanted; killed anywhere, the same call finishes it."""
    domain, selector, state = one["domain"], one["selector"], one["state"]
    if selector not in index and state == store.PRESENT:
        pem = pem or keys.make(one["type"], one["size"])
        store.write(store.key_path(root, domain, selector), pem)
        store.write_index(root, domain, {**index, selector: store.entry(pem, at)})
        return
    if state == store.ABSENT:
        store.remove_key(root, domain, selector)
    store.write_index(root, domain, store.moved(index, selector, state, at))
    if state == store.RETIRED:
        store.remove_key(root, domain, selector)


def foretold(one: dict[str, t.Any], index: store.Index, at: str) -> store.Index:
    """Return the index as it would be, a key that is not made yet with an empty TXT value."""
    if one["selector"] in index or one["state"] == store.ABSENT:
        return store.moved(index, one["selector"], one["state"], at)
    size = 256 if one["type"] == keys.ED25519 else one["size"]
    new = {"type": one["type"], "size": size, "txt": "", "state": store.MADE, "since": {store.MADE: at}}
    return {**index, one["selector"]: new}


class Step(t.NamedTuple):
    """What has to be done for one key."""

    one: dict[str, t.Any]
    text: str
    pem: str


def step(root: str, one: dict[str, t.Any], index: store.Index, given: dict[str, t.Any]) -> Step:
    """Compare what is wanted of one key with what there is."""
    known, held = index.get(one["selector"]), store.read_key(root, one["domain"], one["selector"])
    try:
        pem = brought(one, given)
        why = refusal(one, known, keys.normal(held) if held and pem else held, pem)
    except (keys.DkimError, OSError) as error:
        pem, why = "", str(error)
    if why:
        raise keys.DkimError(f"{keys.record(one['domain'], one['selector'])}: {why}")
    return Step(one, action(one, known, held, pem), pem)


def planned(params: dict[str, t.Any], at: str) -> tuple[list[Step], list[dict[str, t.Any]]]:
    """Return the steps to what is wanted, and all keys as they will be then; raise all that cannot be at once."""
    root, steps, refusals = params["directory"], [], []
    future = {domain: store.read_index(root, domain, at) for domain in store.domains(root)}
    for one in params["keys"]:
        index = future.get(one["domain"], {})
        try:
            steps.append(step(root, one, index, params["private_keys"]))
        except keys.DkimError as error:
            refusals.append(str(error))
        else:
            future[one["domain"]] = foretold(one, index, at) if steps[-1].text else index
    if refusals:
        raise keys.DkimError("\n".join(refusals))
    after = [store.describe(domain, *pair) for domain in sorted(future) for pair in sorted(future[domain].items())]
    return [one for one in steps if one.text], after


def converge(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Do what is wanted; return the module's result."""
    root, at = params["directory"], datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = store.listing(root, at)
    steps, after = planned(params, at)
    actions = [one.text for one in steps] + [f"let only root reach {path}" for path, _mode in store.unguarded(root)]
    if not check:
        store.guard(root)
        for one in steps:
            apply(root, one.one, store.read_index(root, one.one["domain"], at), one.pem, at)
        after = store.listing(root, at)
    diff = {"diff": {"before": shown(before), "after": shown(after)}} if actions else {}
    return {"changed": bool(actions), "dkim_keys": after, "actions": actions, **diff}


def shown(found: list[dict[str, t.Any]]) -> str:
    """Return keys as the diff shows them."""
    return "".join(f"{one['record']} {one['state']} {one['txt']}\n" for one in found)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    found = problems(given["keys"], given["private_keys"])
    if given["keys"] and not keys.HAS_CRYPTOGRAPHY and not module.check_mode:
        found.append("python3-cryptography is not installed on the host")
    if found:
        module.fail_json(msg="\n".join(found))
    try:
        if module.check_mode or not given["keys"]:
            result = converge(given, module.check_mode)
        else:
            with store.locked(given["directory"]):
                store.tidy(given["directory"])
                result = converge(given, check=False)
    except keys.DkimError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
