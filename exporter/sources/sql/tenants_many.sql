-- Jobs of several queues by tenant, of the rows looked at: by name for those that are kept, have the most jobs or wait
-- longest; the rest of each queue in one row. Values are put together first and shortened then: a long one is hashed once.
select x.queue,
       case when x.named then x.tenant end as tenant,
       x.named,
       count(*)::int as tenants,
       sum(x.ready)::bigint as ready,
       sum(x.scheduled)::bigint as scheduled,
       sum(x.in_flight)::bigint as in_flight,
       sum(x.blocked)::bigint as blocked,
       sum(x.failed)::bigint as failed,
       extract(epoch from min(x.oldest))::float8 as oldest_ready
  from (select g.*,
               g.tenant is null
               or g.tenant = any ({kept})
               or row_number() over (partition by g.queue order by g.ready desc, g.jobs desc, g.tenant) <= {most}
               or row_number() over (partition by g.queue order by g.oldest nulls last, g.tenant) <= {waiting} as named
          from (select queue, {fold} as tenant,
                       sum(ready) as ready, sum(scheduled) as scheduled, sum(in_flight) as in_flight,
                       sum(blocked) as blocked, sum(failed) as failed, sum(jobs) as jobs, min(oldest) as oldest
                  from ({groups}) v
                 group by 1, 2) g) x
 group by x.queue, x.named, case when x.named then x.tenant end
