-- The same by tenant: of each queue the kept ones and those whose jobs ended the most by name, the rest in one row an
-- outcome. Each tenant is looked up once.
select g.queue,
       g.outcome,
       sum(g.jobs)::bigint as jobs,
       sum(g.retries)::bigint as retries,
       sum(g.runs)::bigint as runs,
       sum(g.run_seconds)::float8 as run_seconds,
       {run_sums} as run_buckets,
       sum(g.waits)::bigint as waits,
       sum(g.wait_seconds)::float8 as wait_seconds,
       {wait_sums} as wait_buckets,
       case when g.named then g.tenant end as tenant,
       g.named
  from (select a.*,
               a.tenant is null or a.tenant = any (k.kept)
               or dense_rank() over (partition by a.queue order by a.together desc, a.tenant)
                  <= coalesce(k.most, {most}) as named
          from (select b.*, sum(b.jobs) over (partition by b.queue, b.tenant) as together
                  from (select queue, outcome, {fold} as tenant,
                               count(*) as jobs,
                               {retries} as retries,
                               count(run) as runs,
                               coalesce(sum(run), 0) as run_seconds,
                               {run_buckets} as run_buckets,
                               count(wait) as waits,
                               coalesce(sum(wait), 0) as wait_seconds,
                               {wait_buckets} as wait_buckets
                          from (select queue, outcome, attempt, tenant as v,
                                       case when outcome = any ({timed}::text[]) and isfinite(started)
                                            then greatest(extract(epoch from finished - started), 0) end as run,
                                       case when outcome = any ({timed}::text[]) and isfinite(started)
                                                 and isfinite(enqueued) and coalesce(attempt, 1) <= 1
                                            then greatest(extract(epoch from started - enqueued), 0) end as wait
                                  from ({arms}) arms
                                 where queue is not null and outcome is not null
                                offset 0) s
                         group by queue, outcome, 3) b) a
          left join {kept} on k.queue = a.queue) g
 group by g.queue, g.outcome, g.named, case when g.named then g.tenant end
 limit {limit}
