-- Jobs created and jobs ended in (after, until], by index: only rows of that window are touched. The ended by outcome and
-- by the buckets of their times, a few rows a queue: an aggregate for every bucket of every histogram costs more.
select q.queue,
       s.*,
       false as named,
       null::bigint as active,
       null::bigint as failed_now,
       null::bigint as blocked,
       null::float8 as oldest_started,
       null::float8 as newest_started,
       null::float8 as oldest_unfinished,
       null::bigint as expired,
       null::float8 as next_expiry,
       null::float8 as newest_ended
  from {queues},
       lateral (select null::text as outcome,
                       null::int as run_within,
                       null::int as wait_within,
                       0::bigint as jobs,
                       0::bigint as retried,
                       0::float8 as run_seconds,
                       0::float8 as wait_seconds,
                       count(*) as enqueued,
                       null::text as tenant
                  from {table} t
                 where t.name = q.queue and t.created_on > to_timestamp({after})
                   and t.created_on <= to_timestamp({until}) and {created}
                union all
                select s.outcome, {run_within}, {wait_within}, count(*), sum(s.retry_count),
                       coalesce(sum(s.run), 0), coalesce(sum(s.wait), 0), 0::bigint, {tenant}
                  from (select {outcome} as outcome, {run} as run, {wait} as wait, t.retry_count, {value} as v
                          from {table} t
                         where t.name = q.queue and t.completed_on > to_timestamp({after})
                           and t.completed_on <= to_timestamp({until}) and {completed}
                           and t.state in ('completed', 'cancelled', 'failed')
                        {fence}) s
                 group by 1, 2, 3, 9) s
