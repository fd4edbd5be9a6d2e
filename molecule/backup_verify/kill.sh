#!/bin/bash
# A run by hand is stopped while its cluster is up, looked at, and killed.
set -eux
run=/var/lib/vise/backup-verify/run
rm -rf $run
nohup vise-backup-verify >/root/by-hand 2>&1 &
pid=$!
timeout 60 bash -c "until [ -S $run/socket/.s.PGSQL.5432 ]; do sleep 0.02; done"
kill -STOP $pid
ss -Hltn | awk '{print $4}' | sort >/root/ports-during
! ps -eo args | grep -F -f /root/secrets
timeout 60 bash -c "until grep -q 'ready to accept connections' $run/postgresql.log; do sleep 0.1; done"
# Nobody else gets in, and its user gets into nothing else.
setpriv --reuid vise-backup-verify --regid vise-backup-verify --init-groups psql -h $run/socket -U postgres -Atc 'TABLE vise.backup_marker' </dev/null
! su postgres -c "psql -h $run/socket -Atc 'SELECT 1'"
! setpriv --reuid vise-backup-verify --regid vise-backup-verify --init-groups ls /var/lib/postgresql/17/main
