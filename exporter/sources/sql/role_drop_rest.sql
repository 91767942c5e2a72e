
-- Fails where something else stands in it.
drop schema if exists {schema_name};
do $do$
begin
  if exists (select from pg_database d, aclexplode(d.datacl) a
              where d.datname = current_database() and a.grantee = (select oid from pg_roles where rolname = {role}))
  then
    execute format('revoke all on database %I from %I', current_database(), {role});
  end if;
end
$do$;
commit;

-- Fails where the role was set up in another database too: drop it there first.
drop role if exists {role_name};
