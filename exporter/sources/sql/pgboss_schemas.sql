-- Schemas with the tables of pg-boss.
select n.nspname::text as name
  from pg_namespace n
 where (select count(*) from pg_class c
         where c.relnamespace = n.oid and c.relname in ('version', 'queue', 'job', 'schedule', 'subscription')
           and c.relkind in ('r', 'p')) = 5
 order by 1
