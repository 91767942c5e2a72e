-- The first column, or expression, of these indexes.
select n.nspname::text as schema, c.relname::text as name, pg_get_indexdef(c.oid, 1, true) as leads_with
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where (n.nspname, c.relname) in (select * from unnest({schemas}::name[], {index_names}::name[]))
