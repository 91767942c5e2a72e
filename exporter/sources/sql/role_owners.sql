-- Who owns what the functions of a kind read, as far as that is no superuser, nor the owner of the functions; and whom
-- they know, as it is written into the one that tells it.
select o.schema,
       o.name,
       pg_get_userbyid(o.owner)::text as owner,
       (select p.prosrc::text from pg_proc p
         where p.pronamespace = f.oid and p.proname = {owners}) as known
  from pg_namespace f,
       (select n.nspname::text as schema, ''::text as name, n.nspowner as owner
          from pg_namespace n
         where n.nspname = any ({schemas}::text[])
        union all
        select n.nspname::text, c.relname::text, c.relowner
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'm', 'f')
           and ({tables})) o
 where f.nspname = {functions}
   and o.owner <> f.nspowner
   and not (select rolsuper from pg_roles where oid = o.owner)
 order by 1, 2
