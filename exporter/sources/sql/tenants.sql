-- Jobs of one queue by tenant, of the rows looked at: by name for those that are kept, have the most jobs or wait longest;
-- the rest in one row. The best are found by bounded sorts, and only what is named is shortened: most tenants are neither.
(with g as materialized (
  select j.queue, j.v,
         count(*) filter (where j.state = 'ready') as ready,
         count(*) filter (where j.state = 'scheduled') as scheduled,
         count(*) filter (where j.state = 'in_flight') as in_flight,
         count(*) filter (where j.state = 'blocked') as blocked,
         count(*) filter (where j.state = 'failed') as failed,
         count(*) as jobs,
         min(j.since) filter (where j.state = 'ready') as oldest
    from ({rows}) j
   group by j.queue, j.v
), n as materialized (
  select g.*,
         g.v is null
         or g.v = any ({kept})
         or ((select bool_or(k.name like 'folded:%') from unnest({kept}) k(name)) and {fold} = any ({kept}))
         or g.v in (select b.v from (select v from g where v is not null
                                      order by ready desc, jobs desc, v collate "C" limit {most}) b)
         or g.v in (select b.v from (select v from g where v is not null and oldest is not null
                                      order by oldest, v collate "C" limit {waiting}) b) as named
    from g
)
select queue, {fold} as tenant, true as named, 1 as tenants, ready, scheduled, in_flight, blocked, failed,
       extract(epoch from oldest)::float8 as oldest_ready
  from n where named
 union all
select queue, null, false, count(*)::int, sum(ready)::bigint, sum(scheduled)::bigint, sum(in_flight)::bigint,
       sum(blocked)::bigint, sum(failed)::bigint, extract(epoch from min(oldest))::float8
  from n where not named group by queue)
