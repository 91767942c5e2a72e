
-- Fails where something else stands in it.
drop schema if exists {schema_name};

-- The role goes too, unless it is set up in another database: then the last of them takes it.
do $do$
declare
  here oid := (select oid from pg_database where datname = current_database());
  id oid := (select oid from pg_roles where rolname = {role});
  held text;
begin
  if exists (select from pg_database d, aclexplode(d.datacl) a where d.oid = here and a.grantee = id) then
    execute format('revoke all on database %I from %I', current_database(), {role});
  end if;
  select string_agg(distinct coalesce(pg_describe_object(d.classid, d.objid, d.objsubid),
                                      d.classid::regclass || ' ' || d.objid), ', ')
    into held from pg_shdepend d
   where d.refclassid = 'pg_authid'::regclass and d.refobjid = id and d.dbid = here;
  if held <> '' then
    raise exception 'the role % owns something here, or was given rights on it: %. Nothing was dropped', {role}, held
      using hint = format('As a superuser, or as that role: drop owned by %I; where these are temporary, end its sessions. '
                          'Then run this again.', {role});
  end if;
  select string_agg(distinct coalesce(b.datname, d.classid::regclass || ' ' || d.objid), ', ') into held
    from pg_shdepend d left join pg_database b on b.oid = case d.dbid when 0 then d.objid else d.dbid end
   where d.refclassid = 'pg_authid'::regclass and d.refobjid = id;
  if held <> '' then
    raise notice 'the role % stays, for it has rights elsewhere (%): run what takes it back there, too', {role}, held;
  elsif id is not null then
    drop role {role_name};
  end if;
end
$do$;
commit;
