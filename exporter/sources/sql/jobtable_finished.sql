-- Jobs that finished in a window, each at the earliest of its times, put into buckets here so that no row crosses
-- the wire. Infinite times are no times.
select queue,
       outcome,
       count(*) as jobs,
       {retries} as retries,
       count(run) as runs,
       coalesce(sum(run), 0)::float8 as run_seconds,
       {run_buckets} as run_buckets,
       count(wait) as waits,
       coalesce(sum(wait), 0)::float8 as wait_seconds,
       {wait_buckets} as wait_buckets,
       null::text as tenant,
       false as named
  from (select queue, outcome, attempt,
               case when outcome = any ({timed}::text[]) and isfinite(started)
                    then greatest(extract(epoch from finished - started), 0) end as run,
               case when outcome = any ({timed}::text[]) and isfinite(started) and isfinite(enqueued)
                         and coalesce(attempt, 1) <= 1
                    then greatest(extract(epoch from started - enqueued), 0) end as wait
          from ({arms}) arms
         where queue is not null and outcome is not null) s
 group by queue, outcome
 limit {most}
