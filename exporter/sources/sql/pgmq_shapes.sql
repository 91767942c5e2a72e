-- What differs between versions of pgmq: columns, indexes by their first column, the sequence behind msg_id.
select c.oid::bigint as relid,
       array(select a.attname::text from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       array(select a.attname::text from pg_index x
               join pg_attribute a on a.attrelid = c.oid and a.attnum = x.indkey[0]
              where x.indrelid = c.oid and x.indisvalid and x.indpred is null) as indexed,
       (select d.objid::bigint from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
         where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
           and d.refobjid = c.oid and d.deptype in ('i', 'a') limit 1) as sequence
  from pg_class c
 where c.oid = any ({relids}::oid[])
