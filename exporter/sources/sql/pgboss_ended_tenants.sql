-- What was created and what ended by tenant: the kept ones and those whose jobs ended the most by name, the rest of a
-- queue in one row, which also has what belongs to no tenant.
select g.queue,
       sum(g.enqueued)::bigint as enqueued,
       {added},
       sum(g.active)::bigint as active,
       sum(g.failed_now)::bigint as failed_now,
       sum(g.blocked)::bigint as blocked,
       min(g.oldest_started) as oldest_started,
       max(g.newest_started) as newest_started,
       min(g.oldest_unfinished) as oldest_unfinished,
       sum(g.expired)::bigint as expired,
       min(g.next_expiry) as next_expiry,
       max(g.newest_ended) as newest_ended,
       case when g.named then g.tenant end as tenant,
       g.named
  from (select a.queue, a.enqueued, {columns}, a.active, a.failed_now, a.blocked, a.oldest_started, a.newest_started,
               a.oldest_unfinished, a.expired, a.next_expiry, a.newest_ended, a.tenant,
               a.jobs > 0 and (a.tenant is null or a.tenant = any (k.kept)
                               or row_number() over (partition by a.queue order by a.jobs desc, a.tenant) <= {most})
                 as named
          from (select r.*, r.completed + r.failed + r.dead_lettered + r.cancelled as jobs from ({rows}) r) a
          left join {kept} on k.queue = a.queue) g
 group by g.queue, g.named, case when g.named then g.tenant end
