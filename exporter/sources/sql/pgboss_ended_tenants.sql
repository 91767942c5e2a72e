-- What was created and what ended by tenant: the kept ones and those whose jobs ended the most by name, the rest of a
-- queue together, with what belongs to no job that ended.
select g.queue,
       g.outcome,
       g.run_within,
       g.wait_within,
       sum(g.jobs)::bigint as jobs,
       sum(g.retried)::bigint as retried,
       sum(g.run_seconds)::float8 as run_seconds,
       sum(g.wait_seconds)::float8 as wait_seconds,
       sum(g.enqueued)::bigint as enqueued,
       case when g.named then g.tenant end as tenant,
       g.named,
       sum(g.active)::bigint as active,
       sum(g.failed_now)::bigint as failed_now,
       sum(g.blocked)::bigint as blocked,
       min(g.oldest_started) as oldest_started,
       max(g.newest_started) as newest_started,
       min(g.oldest_unfinished) as oldest_unfinished,
       sum(g.expired)::bigint as expired,
       min(g.next_expiry) as next_expiry,
       max(g.newest_ended) as newest_ended
  from (select a.queue, a.outcome, a.run_within, a.wait_within, a.jobs, a.retried, a.run_seconds, a.wait_seconds,
               a.enqueued, a.tenant, a.active, a.failed_now, a.blocked, a.oldest_started, a.newest_started,
               a.oldest_unfinished, a.expired, a.next_expiry, a.newest_ended,
               a.outcome is not null
               and (a.tenant is null or a.tenant = any (k.kept)
                    or dense_rank() over (partition by a.queue order by a.together desc, a.tenant) <= {most}) as named
          from (select r.*, sum(r.jobs) over (partition by r.queue, r.tenant) as together from ({rows}) r) a
          left join {kept} on k.queue = a.queue) g
 group by g.queue, g.outcome, g.run_within, g.wait_within, g.named, case when g.named then g.tenant end
