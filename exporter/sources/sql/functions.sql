-- Functions made by `sql role`, which of their arguments are which parts of a SELECT, and whether the role may call
-- them. A role that row-level security does not bind needs none of them, and is not made to run what others may change.
select p.proname::text as name,
       coalesce(p.proargnames[1:p.pronargs], '{{}}') as arguments,
       has_schema_privilege(p.pronamespace, 'usage') and has_function_privilege(p.oid, 'execute') as usable,
       coalesce(obj_description(p.oid, 'pg_proc'), '') as comment
  from pg_proc p
 where p.pronamespace = (select oid from pg_namespace where nspname = {schema})
   and p.prosecdef
   -- Nobody else's, and nothing that would run code of theirs as this role: a default, the check of a domain.
   and p.proowner = (select nspowner from pg_namespace where nspname = {schema})
   and ({trusted})
   and p.pronargdefaults = 0
   and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
   and not exists (select from unnest(p.proargtypes::oid[] || coalesce(p.proallargtypes, '{{}}') || p.prorettype) a(kind)
                     left join pg_type t on t.oid = a.kind
                    where t.typnamespace is distinct from (select oid from pg_namespace where nspname = 'pg_catalog'))
   and not exists (select from pg_roles where rolname = current_user and (rolsuper or rolbypassrls))
