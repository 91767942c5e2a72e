-- Jobs archived in (after, until], put into buckets here so that no row crosses the wire.
select {queue} as queue,
       count(run) as runs,
       coalesce(sum(run), 0)::float8 as run_seconds,
       {run_buckets} as run_buckets,
       count(wait) as waits,
       coalesce(sum(wait), 0)::float8 as wait_seconds,
       {wait_buckets} as wait_buckets
  from (select greatest(extract(epoch from archived_at - last_read_at), 0) as run,
               case when {with_wait} and read_ct = 1
                    then greatest(extract(epoch from last_read_at - enqueued_at), 0) end as wait
          from {table}
         where archived_at > to_timestamp({after}) and archived_at <= to_timestamp({until})) s
