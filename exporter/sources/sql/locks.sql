-- Transactions open in this database now, prepared ones (without a pid) of any database included: whether each has
-- written, and which of the given tables it may have written to, or waits to (its jobs' times are drawn by then). Any
-- role may read pg_locks; the clock is the message's arrival, before the locks are read.
select extract(epoch from statement_timestamp())::float8 as now,
       l.virtualtransaction as transaction,
       coalesce(bool_or(l.locktype = 'transactionid'), false) as writing,
       coalesce(array_agg(l.relation::bigint) filter (where l.locktype = 'relation'), '{{}}') as relations
  from (select 1) always
  left join (select l.virtualtransaction, l.locktype, l.relation
               from pg_locks l
               left join pg_stat_activity a on a.pid = l.pid
              where (l.granted or l.locktype = 'relation')
                and l.pid is distinct from pg_backend_pid()
                and (l.pid is null or a.datid = {database}::oid)
                and (l.locktype in ('virtualxid', 'transactionid')
                     or l.locktype = 'relation'
                        and l.relation = any ({relids}::oid[])
                        and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                                       'AccessExclusiveLock'))) l on true
 group by l.virtualtransaction
