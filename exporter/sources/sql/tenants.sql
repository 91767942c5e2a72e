-- Jobs of one queue by tenant, of the groups given: by name for those that are kept, have the most jobs or wait longest;
-- the rest in one row. The best are found by bounded sorts, and only what is named is shortened: most tenants are neither.
(with g as materialized (
{groups}), k as materialized (
  select unnest({kept}) as v
   union all
  (select v from g where v is not null order by ready desc, jobs desc, v collate "C" limit {most})
   union all
  (select v from g where v is not null and ready > 0 order by oldest, v collate "C" limit {waiting}){odd}
)
select {queue} as queue, {fold} as tenant, y.named, y.tenants, y.ready, y.scheduled, y.in_flight, y.blocked, y.failed,
       extract(epoch from y.oldest)::float8 as oldest_ready
  from (select x.named, case when x.named then x.v end as v,
               count(*)::int as tenants, sum(x.ready)::bigint as ready, sum(x.scheduled)::bigint as scheduled,
               sum(x.in_flight)::bigint as in_flight, {blocked} as blocked, {failed} as failed,
               min(x.oldest) filter (where x.ready > 0) as oldest
          from (select g.*, g.v is null or g.v in (select k.v from k) as named from g offset 0) x
         group by 1, 2) y)
