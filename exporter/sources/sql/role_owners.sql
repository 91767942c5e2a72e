-- What is involved when the functions read for one key, as far as it belongs to no superuser, nor to the owner of the
-- functions; and whom they know, as it is written into the one that tells it.
select distinct o.what,
       pg_get_userbyid(o.owner)::text as owner,
       (select p.prosrc::text from pg_proc p
         where p.pronamespace = f.oid and p.proname = {vouched}) as known
  from pg_namespace f,
       (select 'schema ' || n.nspname as what, n.nspowner as owner
          from pg_namespace n
         where n.nspname = {schema}
        union all
        select {told}, i.owner
          from ({involved}) i) o
 where f.nspname = {functions}
   and o.owner <> f.nspowner
   and not (select rolsuper from pg_roles where oid = o.owner)
 order by 1
