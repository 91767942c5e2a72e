
-- The table of a queue's jobs, by pg-boss's own list of queues: the schema's job table or a partition of it, and no other.
create function {place_name}(_queue text)
returns oid language plpgsql stable
as $function$
declare
  _schema oid := (select oid from pg_namespace where nspname = {schema});
  _job oid := (select oid from pg_class where relnamespace = _schema and relname = 'job' and relkind in ('r', 'p'));
  _listed jsonb := (select to_jsonb(q) from {queue_table} q where q.name = _queue);
  _place oid;
begin
  select c.oid into _place from pg_class c
   where c.relnamespace = _schema and c.relkind in ('r', 'p')
     and c.relname = coalesce(_listed ->> 'table_name', _listed ->> 'partition_name', 'job')
     and (c.oid = _job or exists (select from pg_inherits i where i.inhrelid = c.oid and i.inhparent = _job));
  _place := coalesce(_place, _job);
  if _listed is null or _place is null then
    raise undefined_table;
  end if;
  return _place;
end
$function$;

-- By which indexes a table of jobs can be read, and its columns, by the catalogue; of one that nobody vouches for, nothing.
create function {name}(_place oid)
returns jsonb language plpgsql stable
as $function$
declare
  _found jsonb;
begin
  perform {of_name}({schema}, array[_place]);
  if exists (select from pg_attribute a
              where a.attrelid = _place and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
                and a.attname not in ('state', 'policy')) then
    raise datatype_mismatch;
  end if;
  with shape as materialized (
    select (select array_agg(a.attname::text) from pg_attribute a
             where a.attrelid = _place and a.attnum > 0 and not a.attisdropped) as columns
  ), keyed as materialized (
    select array_to_string(array(select coalesce(a.attname::text, '')
                                   from unnest(x.indkey::int2[]) with ordinality k(number, place)
                                   left join pg_attribute a on a.attrelid = _place and a.attnum = k.number
                                  where k.place <= x.indnkeyatts order by k.place), ',') || ',' as keys,
           coalesce(pg_get_expr(x.indpred, x.indrelid), 'true') as predicate
      from pg_index x where x.indrelid = _place and x.indisvalid and x.indisready
  ), plain as materialized (
    -- Casts and parentheses, which differ between servers and schemas, taken out.
    select keys, predicate, regexp_replace(predicate, {noise}, '', 'g') as meaning from keyed
  )
  select jsonb_build_object(
           'place', _place::bigint,
           'table', format('%I.%I', {schema}::text, (select relname from pg_class where oid = _place)),
           'columns', to_jsonb(s.columns),
           'live', (select predicate from plain where meaning = {live} and starts_with(keys,
                      case when 'blocked' = any (s.columns) then 'name,state,blocked,start_after,'
                           else 'name,state,start_after,' end) limit 1),
           'fetch', (select predicate from plain where meaning = any ({queued}) and starts_with(keys, 'name,start_after,')
                      limit 1),
           'order', (select predicate from plain
                      where meaning = any ({queued}) and starts_with(keys, 'name,priority,created_on,start_after,') limit 1),
           'created', (select predicate from plain where meaning = 'true' and starts_with(keys, 'name,created_on,') limit 1),
           'completed', (select predicate from plain where meaning in ('true', 'completed_on IS NOT NULL')
                          and starts_with(keys, 'name,completed_on,') limit 1))
    into _found from shape s;
  return _found;
end
$function$;
