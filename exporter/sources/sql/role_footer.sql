
-- Nobody but the role may call them, whatever default privileges say: PUBLIC, and Supabase's anon and authenticated, too.
do $do$
declare
  given record;
begin
  for given in select p.oid::regprocedure as made, a.grantee
                 from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                where p.pronamespace = {schema}::regnamespace and a.grantee <> p.proowner
  loop
    execute format('revoke all on function %s from %s', given.made,
                   case when given.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(given.grantee)) end);
  end loop;
  for given in select a.grantee from pg_namespace n, aclexplode(n.nspacl) a
                where n.oid = {schema}::regnamespace and a.grantee <> n.nspowner
  loop
    execute format('revoke all on schema {schema_name} from %s',
                   case when given.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(given.grantee)) end);
  end loop;
  for given in select p.oid::regprocedure as made from pg_proc p
                where p.pronamespace = {schema}::regnamespace and p.prosecdef
  loop
    execute format('grant execute on function %s to %I', given.made, {role});
  end loop;
end
$do$;
grant usage on schema {schema_name} to {role_name};

-- What the owner of the functions cannot read, nobody can through them.
do $do$
declare
  wanting text;
begin
  select string_agg(c.oid::regclass::text, ', ' order by c.oid::regclass::text) into wanting
    from pg_class c
   where c.relkind in ('r', 'p')
     and ({tables})
     and (not has_any_column_privilege(c.oid, 'select') or row_security_active(c.oid));
  if wanting <> '' then
    raise warning '% may not read all rows of: %', current_user, wanting
      using hint = 'Run this as the owner of these tables; where row-level security is forced, as a role with bypassrls.';
  end if;
  select string_agg(c.oid::regclass::text, ', ' order by c.oid::regclass::text) into wanting
    from pg_class c
   where c.relkind in ('r', 'p') and ({tables}) and has_any_column_privilege({role}, c.oid, 'select');
  if wanting <> '' then
    raise warning '% may read payloads by itself, for it may SELECT from: %', {role}, wanting
      using hint = format('revoke select on %s from %I; (or from public, where that has it)', wanting, {role});
  end if;
  if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
    raise warning '% may not see when transactions of others began: the vacuum horizon is a lower bound', current_user
      using hint = 'grant pg_read_all_stats to that role, which owns the functions; not to the exporter''s.';
  end if;
end
$do$;
commit;
