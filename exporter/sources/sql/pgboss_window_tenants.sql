-- The same by tenant. What was created is in a row of its own, which is always there. Each payload is looked into once.
select q.queue,
       e.enqueued,
       {columns},
       null::bigint as active,
       null::bigint as failed_now,
       null::bigint as blocked,
       null::float8 as oldest_started,
       null::float8 as newest_started,
       null::float8 as oldest_unfinished,
       null::bigint as expired,
       null::float8 as next_expiry,
       null::float8 as newest_ended,
       e.tenant,
       false as named
  from {queues},
       lateral (select count(*) as enqueued, {nothing}, null::text as tenant
                  from {table} t
                 where t.name = q.queue and t.created_on > to_timestamp({after}) and t.created_on <= to_timestamp({until})
                   and {created}
                union all
                select 0, {ended}, {fold} as tenant
                  from (select {outcome} as outcome, {run} as run, {wait} as wait, t.retry_count, {value} as v
                          from {table} t
                         where t.name = q.queue and t.completed_on > to_timestamp({after})
                           and t.completed_on <= to_timestamp({until}) and {completed}
                           and t.state in ('completed', 'cancelled', 'failed')
                        offset 0) s
                 group by tenant) e
