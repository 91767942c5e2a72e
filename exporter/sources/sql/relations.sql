-- Tables of a schema, those asked for (by their relation c, and i, what they are a partition of), with what Postgres
-- counts of them. Reads catalogues and statistics only, so it waits for no lock on any of these tables.
select c.oid::bigint as relid,
       c.relname::text as name,
       c.relkind::text as kind,
       i.inhparent::bigint as parent,
       c.relfilenode::bigint as filenode,
       has_any_column_privilege(c.oid, 'SELECT') as readable,
       row_security_active(c.oid) as hidden,
       pg_stat_get_tuples_inserted(c.oid) as inserted,
       pg_stat_get_tuples_updated(c.oid) as updated,
       pg_stat_get_tuples_deleted(c.oid) as deleted,
       pg_stat_get_live_tuples(c.oid) as live_rows,
       pg_stat_get_dead_tuples(c.oid) as dead_rows,
       pg_stat_get_vacuum_count(c.oid) + pg_stat_get_autovacuum_count(c.oid)
         + pg_stat_get_analyze_count(c.oid) + pg_stat_get_autoanalyze_count(c.oid) as maintained,
       extract(epoch from greatest(pg_stat_get_last_vacuum_time(c.oid),
                                   pg_stat_get_last_autovacuum_time(c.oid)))::float8 as vacuumed_at,
       c.reltuples::float8 as planner_rows,
       (c.relpages + coalesce(t.relpages, 0)) * current_setting('block_size')::bigint as bytes,
       extract(epoch from statement_timestamp())::float8 as now,
       pg_is_in_recovery() as standby
  from pg_class c
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class t on t.oid = c.reltoastrelid
 where c.relnamespace = (select oid from pg_namespace where nspname = {schema})
   and c.relkind in ('r', 'p')
   and ({which})
