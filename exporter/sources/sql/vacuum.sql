-- The oldest horizon of each kind of holder. `held` is in seconds where the holder carries a time that the role may see;
-- `xmin` tells whether a horizon without one has moved. VACUUM itself holds nothing back; of others' sessions it is known
-- by its progress, which every role sees.
select 'transaction' as holder,
       extract(epoch from clock_timestamp() - (array_agg(xact_start order by age(xmin) desc))[1])::float8 as held,
       (array_agg(xmin::text order by age(xmin) desc))[1] as xmin
  from (select xact_start, case when age(backend_xid) > age(backend_xmin) or backend_xmin is null
                                then backend_xid else backend_xmin end as xmin
          from pg_stat_activity
         where datid = (select oid from pg_database where datname = current_database())
           and pid <> pg_backend_pid()
           and pid not in (select pid from pg_stat_progress_vacuum)
           and backend_type is distinct from 'autovacuum worker'
           and coalesce(query, '') !~* '^\s*vacuum'
           and (backend_xmin is not null or backend_xid is not null)) s
union all
select 'replication_slot', null, (array_agg(xmin::text order by age(xmin) desc))[1]
  from (select unnest(array[xmin, catalog_xmin]) as xmin from pg_replication_slots) s where xmin is not null
union all
select 'prepared_transaction',
       extract(epoch from clock_timestamp() - min(prepared))::float8,
       (array_agg(transaction::text order by age(transaction) desc))[1]
  from pg_prepared_xacts where database = current_database()
union all
select 'standby', null, (array_agg(backend_xmin::text order by age(backend_xmin) desc))[1]
  from pg_stat_replication where backend_xmin is not null
