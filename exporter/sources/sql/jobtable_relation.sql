-- The job table or view of that name, and the tables that hold its rows: itself, or what the view (and views it
-- reads) is made of. Reads catalogues only, so it waits for no lock.
with recursive named as (
  select c.oid, c.relkind, n.oid as schema
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = {schema} and c.relname = {relation} and c.relkind in ('r', 'p', 'v', 'm', 'f')
), made_of as (
  select oid, relkind from named
  union
  select c.oid, c.relkind
    from made_of v
    join pg_rewrite w on w.ev_class = v.oid
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
    join pg_class c on c.oid = d.refobjid
   where v.relkind = 'v' and c.relkind in ('r', 'p', 'v', 'm', 'f')
)
select oid::bigint as relid,
       relkind::text as kind,
       has_schema_privilege(schema, 'USAGE') and has_any_column_privilege(oid, 'SELECT') as readable,
       row_security_active(oid) as hidden,
       (select coalesce(array_agg(oid::bigint order by oid), '{{}}') from made_of where relkind <> 'v') as tables,
       (select coalesce(bool_or(relkind = 'f'), true) from made_of where relkind <> 'v') as uncounted
  from named
