-- Whose a schema is, and whether that role could do as much without it: a superuser, the database's owner, ourselves.
select pg_get_userbyid(n.nspowner)::text as owner,
       exists (select from pg_roles r
                where r.oid = n.nspowner
                  and (r.rolsuper
                       or r.oid = (select datdba from pg_database where datname = current_database())
                       or r.rolname in ('pg_database_owner', current_user))) as trusted
  from pg_namespace n
 where n.nspname = {schema}
