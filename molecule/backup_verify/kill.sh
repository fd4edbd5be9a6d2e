#!/bin/bash
# A run by hand is stopped while its cluster is up; the test then kills it.
set -euxo pipefail
# A shell does not end at a command behind `!`, whatever its result is
not() { if "$@"; then echo "succeeded: $*" >&2; exit 1; fi; }
run=/var/lib/vise/backup-verify/run
rm -rf $run
nohup vise-backup-verify >/root/by-hand 2>&1 &
pid=$!
timeout 60 bash -c "until [ -S $run/socket/.s.PGSQL.5432 ]; do sleep 0.02; done"
kill -STOP $pid
ss -Hltn | awk '{print $4}' | sort >/root/ports-during
ps -eo args >/root/programs
not grep -F -f /root/secrets /root/programs
timeout 60 bash -c "until grep -q 'ready to accept connections' $run/postgresql.log; do sleep 0.1; done"
# No other account reaches the cluster, and its user reaches nothing else.
setpriv --reuid vise-backup-verify --regid vise-backup-verify --init-groups psql -h $run/socket -U postgres -Atc 'TABLE vise.backup_marker' </dev/null
not su postgres -c "psql -h $run/socket -Atc 'SELECT 1'"
not setpriv --reuid vise-backup-verify --regid vise-backup-verify --init-groups ls /var/lib/postgresql/17/main
