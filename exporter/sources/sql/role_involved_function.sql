-- In PL/pgSQL, because a session then plans it once: planning it takes five times as long as running it.
create function {name}(_roots oid[])
returns table (class oid, object oid, owner oid, relation oid) language plpgsql stable set plan_cache_mode = force_generic_plan
as $function$
#variable_conflict use_column
begin
  return query
{select};
end
$function$;
