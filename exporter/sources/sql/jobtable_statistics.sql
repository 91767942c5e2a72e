-- What Postgres counts of these tables and their partitions: when it stands still, no row came or changed. Takes no
-- lock.
with recursive tables as (
  select unnest({relids}::oid[]) as oid
  union
  select i.inhrelid from tables t join pg_inherits i on i.inhparent = t.oid
)
select extract(epoch from statement_timestamp())::float8 as now,
       count(*) as tables,
       coalesce(sum(pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid)), 0)::bigint as changes
  from tables
