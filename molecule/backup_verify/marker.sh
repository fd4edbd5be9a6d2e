#!/bin/bash
# Three markers in three segments, all of them in each repository's archive: without the last but one, one is left.
set -eux
cd /
for _ in 1 2 3; do
  systemctl start vise-backup-marker
  file=$(su postgres -c 'psql -Atc "SELECT pg_walfile_name(pg_current_wal_lsn())"')
  su postgres -c 'psql -Atc "SELECT pg_switch_wal()"'
done
timeout 60 bash -c "until [ -z \"\$(ls /var/lib/postgresql/17/main/pg_wal/archive_status/*.ready 2>/dev/null)\" ]; do sleep 0.2; done"
test -e /var/lib/postgresql/17/main/pg_wal/archive_status/$file.done
