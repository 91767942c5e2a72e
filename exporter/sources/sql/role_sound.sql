
-- Whose tables may be read: an index, a partition or a view of anybody else's would run that role's code as the owner of the functions.
do $do$
declare
  _key text;
  _roots oid[];
  _owner record;
  _owners name[];
  _kept jsonb := '{{}}';
begin
  foreach _key in array {keys} loop
    _owners := '{{}}';
    _roots := array(select c.oid from pg_class c
                     where c.relkind in ('r', 'p', 'v', 'm', 'f') and ({tables})
                       and (not {in_schema} or c.relnamespace = to_regnamespace(quote_ident(_key))));
    for _owner in select distinct on (r.oid) o.what, o.named, r.rolname, r.rolsuper,
                         r.oid = (select datdba from pg_database where datname = current_database()) as rules,
                         -- Whose rights we have, given by nobody who could be that role.
                         pg_has_role(current_user, r.oid, 'usage')
                         and not exists (select from pg_auth_members m
                                          where m.roleid = r.oid and pg_has_role(current_user, m.member, 'usage')
                                            and not exists (select from pg_roles g
                                                             where g.oid = m.grantor
                                                               and (g.rolsuper or g.rolname = current_user
                                                                    or g.oid = (select datdba from pg_database
                                                                                 where datname = current_database()))))
                           as ours
                    from (select n.nspowner, 'schema ' || n.nspname, false, false from pg_namespace n
                           where {in_schema} and n.nspname = _key
                          union all
                          select i.owner, {told},
                                 not {in_schema} and i.object = any (_roots), i.object <> i.relation
                            from {involved_name}(_roots) i) o(owner, what, named, used)
                    join pg_roles r on r.oid = o.owner
                   order by r.oid, o.named desc, o.used, o.what
    loop
      if not _owner.rolsuper and (select rolsuper from pg_roles where rolname = current_user) then
        raise exception '% belongs to %, who is no superuser: it could run code with the rights of %',
                        _owner.what, _owner.rolname, current_user
          using hint = format('Run this as that role (set role %I); or switch that source off.', _owner.rolname);
      elsif _owner.rolsuper or _owner.rules or _owner.named or _owner.ours then
        _owners := _owners || _owner.rolname;
      else
        raise warning '% belongs to %, whom nothing vouches for: it will not be read', _owner.what, _owner.rolname
          using hint = 'Run this as that role, or as a member of it: made so by a superuser, the owner of the database or itself.';
      end if;
    end loop;
    _kept := _kept || jsonb_build_object(_key, jsonb_build_object('owners', _owners, 'kinds',
               (select coalesce(string_agg(coalesce(c.relkind::text, '-'), '' order by n), '')
                  from unnest({named}) with ordinality u(id, n) left join pg_class c on c.oid = u.id
                 where not {in_schema})));
  end loop;
  execute format('create function {vouched_name}(_key text) returns jsonb language sql immutable as %L',
                 format('select %L::jsonb -> _key', _kept));
end
$do$;

-- Refuses what has got another owner since. Superusers, and the owner of the functions, may do all anyway. Nearly always
-- all is plain: tables without children, nothing of theirs uses an operator or a function that is not built in, and types
-- are of owners known; that takes half the time of the whole look.
create function {of_name}(_key text, _roots oid[])
returns void language plpgsql stable set plan_cache_mode = force_generic_plan
as $function$
declare
  _trusted oid[] := array(select r.oid from pg_roles r
                           where r.rolsuper or r.rolname = current_user
                              or {vouched_name}(_key) -> 'owners' ? r.rolname::text);
  _wrong text;
begin
  if {in_schema} then
    select 'schema ' || n.nspname into _wrong from pg_namespace n where n.nspname = _key and n.nspowner <> all (_trusted);
  end if;
  if _wrong is null
     and exists (select from pg_class c
                  where c.oid = any (_roots)
                    and (c.relkind <> 'r' or c.relhassubclass or c.relowner <> all (_trusted)
                         or exists (select from pg_statistic_ext s where s.stxrelid = c.oid)
                         or exists (select
                                      from (select 'pg_class'::regclass, c.oid
                                            union all
                                            select 'pg_class'::regclass, i.indexrelid from pg_index i where i.indrelid = c.oid
                                            union all
                                            select 'pg_constraint'::regclass, k.oid from pg_constraint k
                                             where c.relchecks > 0 and k.conrelid = c.oid) p(class, object)
                                      join pg_depend d on d.classid = p.class and d.objid = p.object
                                     where d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
                                        or d.refclassid = 'pg_type'::regclass
                                           and not exists (select from pg_type y
                                                            where y.oid = d.refobjid and y.typowner = any (_trusted)))))
  then
    select {told} into _wrong from {involved_name}(_roots) i where i.owner <> all (_trusted) limit 1;
  end if;
  if _wrong is not null then
    raise insufficient_privilege using message = 'not vouched for: ' || _wrong;
  end if;
end
$function$;

-- The same of what is read whatever the call is about; and no view may stand where none stood.
create function {name}(_key text)
returns void language plpgsql stable
as $function$
declare
  _named oid[] := {named};
begin
  -- What an expression of the configuration names without a schema, and Postgres has not, would be looked for there.
  if not {in_schema} and pg_my_temp_schema() <> 0 then
    raise object_in_use;
  end if;
  perform {of_name}(_key, _named);
  if exists (select from unnest(_named) with ordinality u(id, n) join pg_class c on c.oid = u.id
              where c.relkind not in ('r', 'p') and c.relkind::text <> substr({vouched_name}(_key) ->> 'kinds', n::int, 1)) then
    raise datatype_mismatch;
  end if;
end
$function$;
