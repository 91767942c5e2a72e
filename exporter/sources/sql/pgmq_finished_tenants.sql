-- The same by tenant: the kept ones and those that finished the most by name, the rest in one row, which is always there.
select {queue} as queue,
       extract(epoch from e.slice_end)::float8 as until,
       f.tenant,
       coalesce(f.named, false) as named,
       coalesce(f.jobs, 0)::bigint as jobs,
       coalesce(f.runs, 0)::bigint as runs,
       coalesce(f.run_seconds, 0)::float8 as run_seconds,
       coalesce(f.run_buckets, {zeros}) as run_buckets,
       coalesce(f.waits, 0)::bigint as waits,
       coalesce(f.wait_seconds, 0)::float8 as wait_seconds,
       coalesce(f.wait_buckets, {zeros}) as wait_buckets
  from (select least(to_timestamp({settled}),
                     (select archived_at from {table} where archived_at > to_timestamp({after})
                       order by archived_at limit 1) + make_interval(secs => {slice})) as slice_end) e
  left join lateral
       (select case when g.named then g.tenant end as tenant, g.named,
               sum(g.jobs) as jobs,
               sum(g.runs) as runs, sum(g.run_seconds) as run_seconds, {run_sums} as run_buckets,
               sum(g.waits) as waits, sum(g.wait_seconds) as wait_seconds, {wait_sums} as wait_buckets
          from (select a.*, a.tenant is null or a.tenant = any ({kept})
                            or row_number() over (order by a.jobs desc, a.tenant) <= {most} as named
                  from (select {fold} as tenant, count(*) as jobs,
                               count(run) as runs, coalesce(sum(run), 0) as run_seconds, {run_buckets} as run_buckets,
                               count(wait) as waits, coalesce(sum(wait), 0) as wait_seconds,
                               {wait_buckets} as wait_buckets
                          from (select {value} as v,
                                       case when t.last_read_at is not null
                                            then greatest(extract(epoch from t.archived_at - t.last_read_at), 0)
                                        end as run,
                                       case when {with_wait} and t.read_ct = 1 and t.last_read_at is not null
                                            then greatest(extract(epoch from t.last_read_at - t.enqueued_at), 0)
                                        end as wait
                                  from {table} t
                                 where t.archived_at > to_timestamp({after}) and t.archived_at <= e.slice_end) s
                         group by 1) a) g
         group by g.named, case when g.named then g.tenant end) f on true
