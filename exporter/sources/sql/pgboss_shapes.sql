-- What differs between versions of pg-boss: the columns of each table, and its valid B-tree indexes as
-- "key columns|predicate"; an expression among the keys shows as an empty name.
select c.oid::bigint as relid,
       array(select a.attname::text from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       array(select array_to_string(array(select coalesce(a.attname::text, '')
                                            from unnest(x.indkey::int2[]) with ordinality k(number, place)
                                            left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
                                           where k.place <= x.indnkeyatts order by k.place), ',')
                    || '|' || coalesce(pg_get_expr(x.indpred, x.indrelid), '')
               from pg_index x
               join pg_class i on i.oid = x.indexrelid
               join pg_am m on m.oid = i.relam and m.amname = 'btree'
              where x.indrelid = c.oid and x.indisvalid and x.indisready) as indexes
  from pg_class c
 where c.oid = any ({relids}::oid[])
