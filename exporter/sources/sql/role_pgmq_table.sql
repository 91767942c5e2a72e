
-- The table of a queue that pgmq lists, and no other: nothing but a table, with columns of built-in types, so that no
-- function of anybody's runs when it is read.
create function {name}(_queue text, _prefix text)
returns name language plpgsql
as $function$
declare
  found name;
  place oid;
  sound boolean;
begin
  select c.relname, c.oid,
         c.relkind in ('r', 'p')
         and not exists (select from pg_attribute a
                          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
                            and a.attname in ('msg_id', 'vt', 'read_ct', 'enqueued_at', 'last_read_at', 'archived_at',
                                              'message', 'headers'))
    into found, place, sound
    from {meta} m
    join pg_class c on c.relname = lower(_prefix || m.queue_name)::name
                   and c.relnamespace = (select oid from pg_namespace where nspname = {schema})
   where m.queue_name = _queue;
  if found is null then
    raise undefined_table;
  end if;
  perform {of_name}({schema}, array[place]);
  if not sound then
    raise datatype_mismatch;
  end if;
  return found;
end
$function$;
