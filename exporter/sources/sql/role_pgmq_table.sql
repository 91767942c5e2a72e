
-- The table of a queue that pgmq lists, and no other: nothing but a table, with columns of built-in types, so that no
-- function of anybody's runs when it is read.
create function {name}(_queue text, _prefix text)
returns name language plpgsql
as $function$
declare
  found name;
  place oid;
  sound boolean;
  plain boolean;
begin
  select c.relname, c.oid,
         c.relkind in ('r', 'p')
         and not exists (select from pg_attribute a
                          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
                            and a.attname in ('msg_id', 'vt', 'read_ct', 'enqueued_at', 'last_read_at', 'archived_at',
                                              'message', 'headers')),
         -- Nothing but a table, and nothing in it to be looked into: nearly always.
         c.relkind = 'r' and not c.relhassubclass and c.relchecks = 0
         and exists (select from pg_roles r
                      where r.oid = c.relowner and (r.rolsuper or r.rolname = current_user
                                                    or {vouched_name}({schema}) -> 'owners' ? r.rolname::text))
         and not exists (select from pg_index i
                          where i.indrelid = c.oid and (i.indexprs is not null or i.indpred is not null))
         and not exists (select from pg_statistic_ext s where s.stxrelid = c.oid)
         and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and a.atttypid >= 16384)
    into found, place, sound, plain
    from {meta} m
    join pg_class c on c.relname = lower(_prefix || m.queue_name)::name
                   and c.relnamespace = (select oid from pg_namespace where nspname = {schema})
   where m.queue_name = _queue;
  if found is null then
    raise undefined_table;
  end if;
  if not plain then
    perform {of_name}({schema}, array[place]);
  end if;
  if not sound then
    raise datatype_mismatch;
  end if;
  return found;
end
$function$;
