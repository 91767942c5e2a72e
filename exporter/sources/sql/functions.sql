-- Functions made by `sql role`, which of their arguments are which parts of a SELECT, and whether the role may call
-- them. A role that row-level security does not bind needs none of them, and is not made to run what others may change.
select p.proname::text as name,
       coalesce(p.proargnames[1:p.pronargs], '{{}}') as arguments,
       has_schema_privilege(p.pronamespace, 'usage') and has_function_privilege(p.oid, 'execute') as usable,
       coalesce(obj_description(p.oid, 'pg_proc'), '') as comment
  from pg_proc p
 where p.pronamespace = (select oid from pg_namespace where nspname = {schema})
   and p.prosecdef
   and not exists (select from pg_roles where rolname = current_user and (rolsuper or rolbypassrls))
