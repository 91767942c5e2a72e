-- Jobs archived after {after}, put into buckets here so that no row crosses the wire: of a slice of time that begins
-- at the first of them (a gap without any is skipped by one probe) and ends at what is settled. `until` is that end.
-- A job archived without ever being read has no times.
select {queue} as queue,
       extract(epoch from e.slice_end)::float8 as until,
       null::text as tenant,
       true as named,
       f.*
  from (select least(to_timestamp({settled}),
                     (select archived_at from {table} where archived_at > to_timestamp({after})
                       order by archived_at limit 1) + make_interval(secs => {slice})) as slice_end) e,
       lateral (select count(*) as jobs,
                       count(run) as runs,
                       coalesce(sum(run), 0)::float8 as run_seconds,
                       {run_buckets} as run_buckets,
                       count(wait) as waits,
                       coalesce(sum(wait), 0)::float8 as wait_seconds,
                       {wait_buckets} as wait_buckets
                  from (select case when last_read_at is not null
                                    then greatest(extract(epoch from archived_at - last_read_at), 0) end as run,
                               case when {with_wait} and read_ct = 1 and last_read_at is not null
                                    then greatest(extract(epoch from last_read_at - enqueued_at), 0) end as wait
                          from {table}
                         where archived_at > to_timestamp({after}) and archived_at <= e.slice_end) s) f
