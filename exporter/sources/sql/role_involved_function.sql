
create function {name}(_roots oid[])
returns table (class oid, object oid, owner oid, relation oid) language sql stable
as $function$
{select}
$function$;
