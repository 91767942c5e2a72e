
-- Whose tables may be read: an index or a view of anybody else's would run that role's code as the owner of the functions.
do $do$
declare
  _key text;
  _role record;
  _owners name[];
  _kept jsonb := '{{}}';
begin
  foreach _key in array {keys} loop
    _owners := '{{}}';
    for _role in select r.rolname, r.rolsuper,
                        r.oid = (select datdba from pg_database where datname = current_database()) as rules
                   from pg_roles r
                  where r.oid in (select n.nspowner from pg_namespace n where {in_schema} and n.nspname = _key
                                  union all
                                  select c.relowner from pg_class c
                                   where c.relkind in ('r', 'p', 'v', 'm', 'f') and ({tables})
                                     and (not {in_schema} or c.relnamespace = to_regnamespace(quote_ident(_key))))
    loop
      if not _role.rolsuper and (select rolsuper from pg_roles where rolname = current_user) then
        raise exception '% belongs to %, who is no superuser: its tables could run code with the rights of %',
                        _key, _role.rolname, current_user
          using hint = format('Run this as that role (set role %I); or switch that source off.', _role.rolname);
      elsif _role.rolsuper or _role.rules or not {in_schema} or pg_has_role(current_user, _role.rolname, 'usage') then
        _owners := _owners || _role.rolname;
      else
        raise warning '% belongs to %, whom nothing vouches for: it will not be read', _key, _role.rolname
          using hint = 'Run this as that role, or as a member of it.';
      end if;
    end loop;
    _kept := _kept || jsonb_build_object(_key, _owners);
  end loop;
  execute format('create function {owners_name}(_key text) returns jsonb language sql immutable as %L',
                 format('select %L::jsonb -> _key', _kept));
end
$do$;

-- Refuses what has got another owner since, or is no table. Superusers, and the owner of the functions, may do all anyway.
create function {name}(_key text)
returns void language plpgsql stable
as $function$
declare
  _trusted oid[] := array(select r.oid from pg_roles r
                           where r.rolsuper or r.rolname = current_user or {owners_name}(_key) ? r.rolname::text);
begin
  if exists (select from pg_namespace n where {in_schema} and n.nspname = _key and n.nspowner <> all (_trusted))
     or exists (select from pg_class c
                 where c.relkind in ('r', 'p', 'v', 'm', 'f') and ({fixed})
                   and (not {in_schema} or c.relnamespace = (select oid from pg_namespace where nspname = _key))
                   and (c.relowner <> all (_trusted) or {in_schema} and c.relkind not in ('r', 'p'))) then
    raise insufficient_privilege using message = 'not vouched for';
  end if;
end
$function$;
