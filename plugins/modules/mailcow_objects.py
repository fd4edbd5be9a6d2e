#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_objects
short_description: Manage mailcow's relay hosts, transports, domains, mailboxes, aliases, administrators and limits
version_added: 0.1.0
description:
  - Compares the given objects with the objects in mailcow and changes the differences, all lists in one execution. The
    module reads each list of mailcow once, and again after a change to verify it.
  - The module does not change a list that is not given. It does not change objects that are not listed, except with
    O(purge_mailboxes), O(purge_aliases) and O(purge_domain_admins).
  - If an option of an object is not given, its value does not change; a new object has mailcow's default.
  - "The order of changes follows from the references: app passwords, aliases and mailboxes are deleted before their
    domain, a relay host is added before the domain that uses it and deleted after that domain is changed or deleted."
  - Names of domains are compared in lower case, and international names in their ASCII form.
  - mailcow stores the hash of a password, which cannot be compared. Passwords of mailboxes, administrators and programs
    are set when the object is added, and later only with O(update_password=always), which reports a change in each run.
    The passwords of relay hosts and transports are compared, because mailcow returns them.
  - A new domain has no DKIM key; M(vise.platform.mailcow_dkim) imports one.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  relay_hosts:
    description: Servers that deliver the outgoing mail of a domain; O(domains[].relay_host) selects the server.
    type: list
    elements: dict
    suboptions:
      host:
        description: The server, as in C([smtp.example.net]:587).
        type: str
        required: true
      state:
        description: V(absent) deletes it.
        type: str
        choices: [present, absent]
        default: present
      username:
        description: Login at the server.
        type: str
      password:
        description: Password at the server.
        type: str
      active:
        description: Whether mailcow uses it.
        type: bool
  transports:
    description: Servers that deliver the mail to a destination; a transport takes precedence over relay hosts.
    type: list
    elements: dict
    suboptions:
      destination:
        description: A domain, C(.domain) for its subdomains, an address, or C(*) for everything.
        type: str
        required: true
      state:
        description: V(absent) deletes it.
        type: str
        choices: [present, absent]
        default: present
      host:
        description: The server, as in C([smtp.example.net]:587); required with O(transports[].state=present).
        type: str
      username:
        description: Login at the server; all transports with the same host need the same login.
        type: str
      password:
        description: Password at the server.
        type: str
      active:
        description: Whether mailcow uses it.
        type: bool
  domains:
    description: Mail domains and their limits.
    type: list
    elements: dict
    suboptions:
      name:
        description: The domain.
        type: str
        required: true
      state:
        description:
          - V(absent) deletes it with its aliases. The module refuses to delete a domain that has mailboxes which the
            same task does not delete.
        type: str
        choices: [present, absent]
        default: present
      description:
        description: Description of the domain; an empty text for its name.
        type: str
      mailboxes:
        description: Maximum number of mailboxes.
        type: int
      aliases:
        description: Maximum number of aliases.
        type: int
      default_quota:
        description: Quota in MiB of a new mailbox without O(mailboxes[].quota).
        type: int
      max_quota:
        description: Largest quota of one mailbox, in MiB.
        type: int
      quota:
        description: Quota of all mailboxes together, in MiB.
        type: int
      active:
        description: Whether the domain receives mail.
        type: bool
      global_address_list:
        description: Whether its users see each other in SOGo's address book.
        type: bool
      relay:
        description:
          - Whether mailcow passes mail on to the domain's next mail exchanger (a backup MX).
          - It accepts only mail for addresses that it knows as mailboxes or aliases, unless
            O(domains[].relay_all_recipients) is set.
        type: bool
      relay_all_recipients:
        description: Whether a domain with O(domains[].relay) accepts mail for each address, as a backup MX must.
        type: bool
      relay_host:
        description: The O(relay_hosts[].host) that delivers the domain's mail; an empty text for none.
        type: str
  mailboxes:
    description: Mailboxes.
    type: list
    elements: dict
    suboptions:
      address:
        description: The address, which is also the login.
        type: str
        required: true
      state:
        description: V(absent) deletes it; mailcow keeps the mail as garbage for C(MAILDIR_GC_TIME) minutes.
        type: str
        choices: [present, absent]
        default: present
      name:
        description: Full name of the user; by default, and if it is empty, the part before the C(@).
        type: str
      password:
        description: The password; required for a new mailbox.
        type: str
      quota:
        description: Quota in MiB; C(0) for no limit. By default, a new mailbox has the domain's default quota.
        type: int
      active:
        description: Whether the mailbox receives mail and its user can log in.
        type: bool
      protocols:
        description: Protocols with which the user can log in.
        type: list
        elements: str
        choices: [imap, pop3, smtp, sieve, eas, dav]
      webmail:
        description: Whether the user can use SOGo.
        type: bool
      force_password_change:
        description: Whether the user must choose a new password at the next login.
        type: bool
  purge_mailboxes:
    description: Domains in which each mailbox that O(mailboxes) does not list is deleted.
    type: list
    elements: str
    default: []
  aliases:
    description: Aliases.
    type: list
    elements: dict
    suboptions:
      address:
        description: The address, or C(@example.org) for all other addresses of the domain.
        type: str
        required: true
      state:
        description: V(absent) deletes it.
        type: str
        choices: [present, absent]
        default: present
      goto:
        description:
          - Addresses that receive its mail; required with O(aliases[].state=present).
          - As the only target, C(null@localhost) discards the mail, and C(spam@localhost) or C(ham@localhost) trains
            the filter with it.
        type: list
        elements: str
      active:
        description: Whether the alias works.
        type: bool
      internal:
        description: Whether only users of this server can send mail to it.
        type: bool
      sender_allowed:
        description: Whether the users that receive its mail can send with its address; true for a new alias.
        type: bool
      webmail:
        description: Whether SOGo offers it as a sender; true for a new alias.
        type: bool
      comment:
        description: A note for administrators, up to 160 bytes.
        type: str
  purge_aliases:
    description: Domains in which each alias that O(aliases) does not list is deleted.
    type: list
    elements: str
    default: []
  domain_admins:
    description: Domain administrators.
    type: list
    elements: dict
    suboptions:
      username:
        description: The login; lower-case letters, digits, C(_), C(.) and C(-).
        type: str
        required: true
      state:
        description: V(absent) deletes it.
        type: str
        choices: [present, absent]
        default: present
      domains:
        description: The domains to administer; required for a new administrator.
        type: list
        elements: str
      password:
        description: The password; required for a new administrator.
        type: str
      active:
        description: Whether the login works.
        type: bool
  purge_domain_admins:
    description: Whether each domain administrator that O(domain_admins) does not list is deleted.
    type: bool
    default: false
  app_passwords:
    description:
      - Passwords with which programs log in to a mailbox, each for the necessary protocols. So only the user knows the
        password of the mailbox.
    type: list
    elements: dict
    suboptions:
      mailbox:
        description: Address of the mailbox.
        type: str
        required: true
      name:
        description: Name of the program; unique in the mailbox.
        type: str
        required: true
      state:
        description: V(absent) deletes it.
        type: str
        choices: [present, absent]
        default: present
      password:
        description: The password; required for a new entry.
        type: str
      protocols:
        description: Protocols for which the password is valid; by default none for a new entry.
        type: list
        elements: str
        choices: [imap, smtp, pop3, sieve, dav, eas]
      active:
        description: Whether the password works.
        type: bool
  limits:
    description: Rate limits of outgoing mail; a mailbox's own limit takes precedence over that of its domain.
    type: list
    elements: dict
    suboptions:
      name:
        description: A domain, or the address of a mailbox.
        type: str
        required: true
      state:
        description: V(absent) removes the limit.
        type: str
        choices: [present, absent]
        default: present
      messages:
        description: Number of messages; required with O(limits[].state=present).
        type: int
      per:
        description: Period.
        type: str
        choices: [second, minute, hour, day]
        default: hour
  update_password:
    description: When passwords of mailboxes, domain administrators and programs are set.
    type: str
    choices: [on_create, always]
    default: on_create
"""

EXAMPLES = r"""
- name: Configure mail
  vise.platform.mailcow_objects:
    api_key: "{{ vault_mail_api_key }}"
    relay_hosts:
      - {host: "[smtp.example.net]:587", username: example, password: "{{ vault_mail_relay }}"}
    transports:
      - {destination: example.com, host: "[mx.example.com]:25"}
    domains:
      - {name: example.org, mailboxes: 50, max_quota: 10240, quota: 102400, relay_host: "[smtp.example.net]:587"}
    mailboxes:
      - {address: alice@example.org, name: Alice Example, password: "{{ vault_mailbox_alice }}", quota: 5120}
      - {address: app@example.org, password: "{{ vault_mailbox_app }}", protocols: []}
    aliases:
      - {address: postmaster@example.org, goto: [alice@example.org]}
      - {address: team@example.org, goto: [alice@example.org, bob@example.com], internal: true}
    domain_admins:
      - {username: alice, domains: [example.org], password: "{{ vault_mail_admin_alice }}"}
    app_passwords:
      - {mailbox: app@example.org, name: app, protocols: [smtp], password: "{{ vault_mail_app }}"}
    limits:
      - {name: example.org, messages: 500}
      - {name: app@example.org, messages: 5000, per: day}

- name: Configure the aliases of a domain, and delete all others
  vise.platform.mailcow_objects:
    api_key: "{{ vault_mail_api_key }}"
    aliases:
      - {address: postmaster@example.org, goto: [alice@example.org]}
    purge_aliases: [example.org]

- name: Delete a domain with all its objects, and its relay host
  vise.platform.mailcow_objects:
    api_key: "{{ vault_mail_api_key }}"
    relay_hosts:
      - {host: "[smtp.example.net]:587", state: absent}
    domains:
      - {name: old.example.org, state: absent}
    mailboxes:
      - {address: bob@old.example.org, state: absent}

- name: Set a new password
  vise.platform.mailcow_objects:
    api_key: "{{ vault_mail_api_key }}"
    mailboxes: [{address: alice@example.org, password: "{{ vault_mailbox_alice }}"}]
    update_password: always
"""

RETURN = r"""
actions:
  description: The changes, or in check mode the planned changes, in order.
  returned: always
  type: list
  elements: str
  sample:
    - delete alias old@example.org
    - add relayhost [smtp.example.net]:587
    - "edit domain example.org: quota, relay_host"
    - add mailbox alice@example.org
    - "edit rl-domain example.org: messages"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import objects, sync


def main() -> None:
    """Run as a module."""
    module = AnsibleModule({**sync.CONNECTION, **objects.ARGUMENT_SPEC}, supports_check_mode=True)
    sync.run(module, objects.planned)


if __name__ == "__main__":
    main()
