-- Jobs created and jobs ended in (after, until], by index: only rows of that window are touched.
select q.queue,
       arrived.enqueued,
       ended.*,
       null::bigint as active,
       null::bigint as failed_now,
       null::bigint as blocked,
       null::float8 as oldest_started,
       null::float8 as newest_started,
       null::float8 as oldest_unfinished,
       null::bigint as expired,
       null::float8 as next_expiry,
       null::float8 as newest_ended,
       null::text as tenant,
       false as named
  from {queues},
       lateral (select count(*) as enqueued from {table} t
                 where t.name = q.queue and t.created_on > to_timestamp({after}) and t.created_on <= to_timestamp({until})
                   and {created}) arrived,
       lateral (select {ended}
                  from (select {outcome} as outcome, {run} as run, {wait} as wait, t.retry_count
                          from {table} t
                         where t.name = q.queue and t.completed_on > to_timestamp({after})
                           and t.completed_on <= to_timestamp({until}) and {completed}
                           and t.state in ('completed', 'cancelled', 'failed')) s) ended
