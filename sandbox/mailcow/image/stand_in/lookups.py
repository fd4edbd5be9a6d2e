"""The queries of Postfix and Dovecot in mailcow's tables."""

from __future__ import annotations

# %s is the key, %u and %d are its two halves (mysql_table(5)).
POSTFIX = {
    "virtual_domains_maps": "SELECT domain FROM domain WHERE domain = '%s' AND active = 1 AND backupmx = 0"
    " UNION SELECT alias_domain FROM alias_domain WHERE alias_domain = '%s' AND active = 1",
    "virtual_relay_domain_maps": "SELECT domain FROM domain WHERE domain = '%s' AND active = 1 AND backupmx = 1",
    "relay_recipient_maps": "SELECT '%s' FROM domain"
    " WHERE domain = '%d' AND active = 1 AND backupmx = 1 AND relay_all_recipients = 1"
    " UNION SELECT goto FROM alias WHERE address = '%s' AND active = 1",
    "virtual_mailbox_maps": "SELECT 1 FROM mailbox WHERE username = '%s' AND kind = '' AND active IN (1, 2)",
    "virtual_alias_maps": "SELECT goto FROM alias WHERE address = '%s' AND active IN (1, 2)",
    "virtual_alias_domain_maps": "SELECT mailbox.username FROM mailbox, alias_domain"
    " WHERE alias_domain.alias_domain = '%d' AND alias_domain.active = 1"
    " AND mailbox.username = CONCAT('%u', '@', alias_domain.target_domain) AND mailbox.active IN (1, 2)",
    "virtual_spamalias_maps": "SELECT goto FROM spamalias"
    " WHERE address = '%s' AND (permanent <> 0 OR validity >= UNIX_TIMESTAMP())",
    # Users that can send with an address: its targets, and users with a permission. Without an alias of the address
    # the catch-all of the domain counts.
    "virtual_sender_acl": "SELECT goto FROM alias JOIN domain ON domain.domain = alias.domain"
    " WHERE domain.active = 1 AND alias.active = 1 AND alias.sender_allowed = 1 AND (alias.address = '%s'"
    " OR (alias.address = '@%d' AND NOT EXISTS (SELECT 1 FROM alias AS own WHERE own.address = '%s')))"
    " UNION SELECT logged_in_as FROM sender_acl WHERE send_as IN ('%s', '@%d', '*')"
    " UNION SELECT mailbox.username FROM mailbox, alias_domain"
    " WHERE alias_domain.alias_domain = '%d' AND alias_domain.active = 1"
    " AND mailbox.username = CONCAT('%u', '@', alias_domain.target_domain)",
    "transport_maps": "SELECT CONCAT('smtp_via_transport_maps:', nexthop) FROM transports"
    " WHERE active = 1 AND is_mx_based = 0 AND destination = '%s'",
    "sender_dependent_default_transport_maps": "SELECT CONCAT('smtp:', relayhosts.hostname) FROM relayhosts"
    " JOIN domain ON domain.relayhost = relayhosts.id WHERE relayhosts.active = 1 AND domain.domain = '%d'",
    "sasl_passwd_maps_sender_dependent": "SELECT CONCAT_WS(':', relayhosts.username, relayhosts.password)"
    " FROM relayhosts JOIN domain ON domain.relayhost = relayhosts.id"
    " WHERE relayhosts.active = 1 AND relayhosts.username <> '' AND domain.domain = '%d'",
    "sasl_passwd_maps_transport_maps": "SELECT CONCAT_WS(':', username, password) FROM transports"
    " WHERE nexthop = '%s' AND active = 1 AND username <> '' LIMIT 1",
}

_HEAD = """
sql_driver = mysql
mysql /var/run/mysqld/mysqld.sock {{
  user = {user}
  password = {password}
  dbname = {database}
}}
"""
# The password of the mailbox counts and its newest app passwords: one query returns one row.
APP_PASSWORDS = 5
_PASSDB = """
passdb sql{number} {{
  driver = sql
  result_failure = {failure}
  passdb_sql_query = {query}
}}
"""
_USERDB = """
userdb sql {
  query = SELECT CONCAT('/var/vmail/', domain, '/', local_part) AS home, 5000 AS uid, 5000 AS gid, \\
    CONCAT(quota, 'B') AS quota_storage_size \\
    FROM mailbox WHERE username = '%{user}' AND kind = '' AND active IN (1, 2)
  iterate_query = SELECT username AS user FROM mailbox WHERE kind = ''
}
"""
_OWN = (
    "SELECT username AS user, password FROM mailbox WHERE username = '%{user}' AND kind = '' AND active = 1"
    " AND JSON_VALUE(attributes, '$.%{protocol | lower}_access') IN ('1', 'true')"
)
_APP = (
    "SELECT app_passwd.mailbox AS user, app_passwd.password FROM app_passwd"
    " JOIN mailbox ON mailbox.username = app_passwd.mailbox"
    " WHERE mailbox.username = '%{user}' AND mailbox.active = 1 AND app_passwd.active = 1"
    " AND CASE '%{protocol | lower}' WHEN 'imap' THEN imap_access WHEN 'smtp' THEN smtp_access"
    " WHEN 'sieve' THEN sieve_access ELSE 0 END = 1 ORDER BY id DESC LIMIT 1 OFFSET"
)


def dovecot(user: str, password: str, database: str) -> str:
    """Write Dovecot's accounts: configuration with a password."""
    queries = [_OWN, *(f"{_APP} {number}" for number in range(APP_PASSWORDS))]
    passdbs = [
        _PASSDB.format(number=number, query=query, failure="continue" if number < APP_PASSWORDS else "return-fail")
        for number, query in enumerate(queries)
    ]
    head = _HEAD.format(user=user, password=password, database=database)
    return "".join([head, *passdbs, _USERDB])
