{about}
begin;
set local search_path = pg_catalog, pg_temp;

-- The role itself. It is a member of no other role: pg_monitor and pg_read_all_stats would show it payloads and the texts
-- of other sessions' queries. An existing one that can do more than it should is not accepted.
do $do$
declare
  wrong text;
begin
  if not exists (select from pg_roles where rolname = {role}) then
    create role {role_name} login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    alter role {role_name} connection limit {connections};
    alter role {role_name} set default_transaction_read_only = on;
    alter role {role_name} set statement_timeout = '60s';
    alter role {role_name} set idle_in_transaction_session_timeout = '60s';
  else
    raise notice 'the role % is there: its connection limit and its settings are left as they are', {role};
  end if;
  select concat_ws(', ', case when rolsuper then 'superuser' end, case when rolcreatedb then 'createdb' end,
                   case when rolcreaterole then 'createrole' end, case when rolreplication then 'replication' end,
                   case when rolbypassrls then 'bypassrls' end,
                   (select 'member of ' || string_agg(m.roleid::regrole::text, ', ')
                      from pg_auth_members m where m.member = r.oid))
    into wrong from pg_roles r where rolname = {role};
  if wrong <> '' then
    raise exception 'the role % can do more than it should (%)', {role}, wrong
      using hint = 'Take that from it, or choose another name: sql role --role NAME';
  end if;
  -- But for what goes with a session of its own.
  select string_agg(coalesce(pg_describe_object(d.classid, d.objid, d.objsubid), d.classid::regclass || ' ' || d.objid), ', '
                    order by d.classid, d.objid)
    into wrong
    from pg_shdepend d
   where d.refclassid = 'pg_authid'::regclass and d.refobjid = (select oid from pg_roles where rolname = {role})
     and d.deptype = 'o'
     and (select oid from pg_database where datname = current_database())
         = case when d.classid = 'pg_database'::regclass then d.objid else d.dbid end
     and coalesce((pg_identify_object(d.classid, d.objid, d.objsubid)).schema, '') not like 'pg\_temp%';
  if wrong <> '' then
    raise exception 'the role % owns something in this database, and may do all with it: %', {role}, wrong
      using hint = format('As a superuser, or as that role: drop owned by %I; or to keep these: reassign owned by %1$I to '
                          'another role; or choose another name: sql role --role NAME', {role});
  end if;
  if not has_database_privilege({role}, current_database(), 'connect') then
    execute format('grant connect on database %I to %I', current_database(), {role});
  end if;
end
$do$;

-- They are one role's: whoever else had them is told.
do $do$
declare
  other name;
begin
  for other in select pg_get_userbyid(a.grantee) from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = {schema} and a.grantee not in (0, n.nspowner) and pg_get_userbyid(a.grantee) <> {role}
  loop
    raise warning 'the functions are those of % from now on, and % may not call them any more', {role}, other
      using hint = 'Several exporters may connect as one role. For the former one: sql role --role NAME';
  end loop;
end
$do$;

-- A schema for the functions alone, whose owner is who runs this: the functions run with that role's rights.
create schema if not exists {schema_name};
do $do$
declare
  owner name := (select pg_get_userbyid(nspowner) from pg_namespace where nspname = {schema});
  other record;
begin
  if owner <> current_user then
    raise exception 'the schema {schema_name} belongs to %, not to %', owner, current_user
      using hint = 'Run this as its owner, or drop it there first: sql role --drop';
  end if;
  -- Functions of an earlier version, or of another configuration.
  for other in select p.oid::regprocedure as made from pg_proc p
                where p.pronamespace = {schema}::regnamespace
                  and ({kinds})
  loop
    execute format('drop function %s', other.made);
  end loop;
end
$do$;
