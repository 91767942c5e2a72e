#!/bin/sh
# Run once by the image, when the database is made: pgmq, two queues to begin with, and the exporter's role.
set -eu
password=$(cat /run/secrets/exporter_password)
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$password" --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
create extension pgmq;
select pgmq.create('mail');
select pgmq.create('mail_dlq');

create role pgqueue_exporter login password :'password' connection limit 4;
grant pg_read_all_stats to pgqueue_exporter;
grant usage on schema pgmq to pgqueue_exporter;
grant select on all tables in schema pgmq to pgqueue_exporter;
grant select on all sequences in schema pgmq to pgqueue_exporter;
alter default privileges in schema pgmq grant select on tables to pgqueue_exporter;
alter default privileges in schema pgmq grant select on sequences to pgqueue_exporter;
SQL
