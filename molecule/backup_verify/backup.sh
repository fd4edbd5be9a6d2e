#!/bin/bash
# The work of the platform's other roles on a database host, by the tools themselves.
set -eux
files() {
  for number in $(seq 300); do echo "set key:$number value-$number"; done | redis-cli --pipe
  redis-cli save
  cp /var/lib/redis/dump.rdb /srv/redis/
  echo '300 keys' >/srv/redis/dump.keys
  for number in 1 2 3; do head -c 400000 /dev/urandom >/srv/files/upload-$number; done
  ln -s upload-1 /srv/files/latest
  for name in a b; do
    set -a
    . /root/$name.env
    restic init
    restic backup --tag files /srv/files
    restic backup --tag redis /srv/redis
  done
}

# They do not need the database.
files &
systemctl stop postgresql@17-main
su postgres -c '/usr/lib/postgresql/17/bin/pg_checksums --enable -D /var/lib/postgresql/17/main'
cat >/etc/postgresql/17/main/conf.d/archive.conf <<'CONF'
archive_mode = on
archive_command = 'pgbackrest --stanza=main archive-push %p && pgbackrest --config=/etc/pgbackrest-yearly.conf --stanza=main archive-push %p'
archive_timeout = 60
CONF
systemctl start postgresql@17-main
install -d -o postgres -g postgres -m 700 /srv/tablespace
su postgres -c 'psql --set=ON_ERROR_STOP=1' <<'SQL'
CREATE TABLESPACE elsewhere LOCATION '/srv/tablespace';
CREATE ROLE app;
CREATE DATABASE app OWNER app;
\connect app
CREATE TABLE lesson (id bigint PRIMARY KEY, title text, body text);
INSERT INTO lesson SELECT i, 'lesson ' || i, repeat(md5(i::text), 20) FROM generate_series(1, 5000) AS i;
CREATE INDEX ON lesson (title);
CREATE TABLE far (id bigint PRIMARY KEY) TABLESPACE elsewhere;
INSERT INTO far SELECT generate_series(1, 700);
-- An attacker who has taken the application leaves this for a superuser who reads its tables; a proof that runs it fails.
ALTER TABLE lesson OWNER TO app;
SET ROLE app;
CREATE FUNCTION public.taken(lesson) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'taken: the cast ran as %', current_user; END $$;
CREATE CAST (lesson AS text) WITH FUNCTION public.taken(lesson);
CREATE FUNCTION public.format(text, text, name, name) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'taken: format ran as %', current_user; END $$;
CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'taken: hashtextextended ran as %', current_user; END $$;
RESET ROLE;
-- The settings of a database for its sessions must not keep a proof from reading everything.
ALTER DATABASE app SET statement_timeout = '1ms';
ALTER DATABASE app SET default_transaction_read_only = on;
SQL
su postgres -c 'pgbackrest --stanza=main stanza-create'
su postgres -c 'pgbackrest --config=/etc/pgbackrest-yearly.conf --stanza=main stanza-create'
for repo in 1 2; do su postgres -c "pgbackrest --stanza=main --type=full --repo=$repo backup"; done
su postgres -c 'pgbackrest --config=/etc/pgbackrest-yearly.conf --stanza=main --type=full backup'

wait $!
