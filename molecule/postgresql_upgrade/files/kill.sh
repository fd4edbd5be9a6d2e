#!/bin/bash
# Kill the module of an upgrade once it has noted a stage and a program runs: kill.sh STAGE PROGRAM
set -eu
note=/var/lib/vise/postgresql-upgrade.json
lock=$(stat -c %i /var/lib/vise/.postgresql-cluster.lock)
until grep -qs "\"stage\": \"$1\"" $note && pgrep -x "$2" >/dev/null; do sleep 0.01; done
# Ansible's modules come through standard input and have no name; the lock has its holder's number.
kill -9 "$(awk -v file=":$lock\$" '$2 == "FLOCK" && $6 ~ file { print $5; exit }' /proc/locks)"
echo "killed at $1" >>/root/killed
