-- The same, and the unfinished jobs by state, in one pass over the whole table: where there is no index for them.
-- Ended jobs of before are passed over: most of a table. At least a row a queue, also without a job: no row at all means
-- that it was not read. Added up before the queues are joined: a join of every job costs a third more.
select q.queue,
       s.outcome,
       s.run_within,
       s.wait_within,
       coalesce(s.jobs, 0) as jobs,
       coalesce(s.retried, 0) as retried,
       coalesce(s.run_seconds, 0) as run_seconds,
       coalesce(s.wait_seconds, 0) as wait_seconds,
       coalesce(s.enqueued, 0) as enqueued,
       s.tenant,
       false as named,
       s.active,
       s.failed_now,
       s.blocked,
       s.oldest_started,
       s.newest_started,
       s.oldest_unfinished,
       s.expired,
       s.next_expiry,
       s.newest_ended
  from {queues}
  left join (
    select name,
           outcome,
           {run_within} as run_within,
           {wait_within} as wait_within,
           {tenant} as tenant,
           count(outcome) as jobs,
           coalesce(sum(retry_count) filter (where outcome is not null), 0)::bigint as retried,
           coalesce(sum(run), 0)::float8 as run_seconds,
           coalesce(sum(wait), 0)::float8 as wait_seconds,
           count(*) filter (where arrived) as enqueued,
           count(*) filter (where live and state = 'active') as active,
           count(*) filter (where live and state = 'failed') as failed_now,
           count(*) filter (where live and {blocked} and state in ('created', 'retry')) as blocked,
           extract(epoch from min(started_on) filter (where live and state = 'active'))::float8 as oldest_started,
           extract(epoch from max(started_on) filter (where live and state = 'active'))::float8 as newest_started,
           extract(epoch from min(created_on) filter (where live and state in ('created', 'retry', 'active')))::float8
             as oldest_unfinished,
           count(*) filter (where live and state = 'active' and expiry < now()) as expired,
           extract(epoch from min(expiry) filter (where live and state = 'active' and expiry >= now()))::float8
             as next_expiry,
           extract(epoch from max(completed_on))::float8 as newest_ended
      from (select t.name, t.live, t.state, t.created_on, t.started_on, t.completed_on, t.retry_count, {blocked_column}
                   {expiry} as expiry,
                   t.created_on > to_timestamp({after}) and t.created_on <= to_timestamp({until}) as arrived,
                   case when t.completed_on > to_timestamp({after}) and t.completed_on <= to_timestamp({until})
                        then {outcome} end as outcome,
                   case when t.completed_on > to_timestamp({after}) and t.completed_on <= to_timestamp({until})
                        then {run} end as run,
                   case when t.completed_on > to_timestamp({after}) and t.completed_on <= to_timestamp({until})
                        then {wait} end as wait,
                   {value} as v
              from {rows} t
             where t.state in ('created', 'retry', 'active', 'failed')
                or t.created_on > to_timestamp({after}) or t.completed_on > to_timestamp({after})) s
     group by 1, 2, 3, 4, 5) s on s.name = q.queue
