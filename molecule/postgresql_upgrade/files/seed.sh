#!/bin/bash
# A database as an application leaves it: tables with keys, a sequence, a large object, a function, an old extension.
set -eu -o pipefail; cd /
runuser -u postgres -- /usr/lib/postgresql/15/bin/pgbench -q -i -s 10 edu >/dev/null 2>&1
runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 edu <<'SQL'
SET ROLE edu;
CREATE TABLE written (writer int, number bigint, PRIMARY KEY (writer, number));
CREATE TABLE courses (id serial PRIMARY KEY, title text NOT NULL);
CREATE TABLE progress (course int REFERENCES courses, learner text, part int, PRIMARY KEY (course, learner));
CREATE INDEX ON courses USING gin (title gin_trgm_ops);
INSERT INTO courses (title) SELECT 'Grüße ' || n FROM generate_series(1, 2000) AS n;
INSERT INTO progress SELECT id, 'learner ' || n, n FROM courses, generate_series(1, 5) AS n;
CREATE FUNCTION parts(int) RETURNS bigint LANGUAGE sql AS 'SELECT sum(part) FROM progress WHERE course = $1';
SELECT lo_from_bytea(0, 'a picture');
-- An attacker who has taken the application leaves this for a superuser who queries its database; only a superuser may do it.
CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  COPY (SELECT 'format') TO PROGRAM 'cat >>/var/lib/postgresql/taken';
  RETURN pg_catalog.format($1, $2, $3);
END $$;
CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  COPY (SELECT 'quote_ident') TO PROGRAM 'cat >>/var/lib/postgresql/taken';
  RETURN pg_catalog.quote_ident($1::text);
END $$;
CREATE TABLE "of two
lines" (id int);
RESET ROLE;
CREATE TABLESPACE ts LOCATION '/srv/ts';
CREATE TABLE outside TABLESPACE ts AS SELECT n FROM generate_series(1, 1000) AS n;
CREATE TABLE refused (rights aclitem);
SELECT pg_create_physical_replication_slot('forgotten');
CREATE DATABASE half;
-- As an interrupted DROP DATABASE leaves it
UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half';
SQL
