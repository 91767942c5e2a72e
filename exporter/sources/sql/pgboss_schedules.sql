-- Recurring jobs, and when each was last forwarded: pg-boss's own queue of firings, by its index on singleton_on.
select s.name::text as queue,
       {key} as key,
       s.cron,
       coalesce(s.timezone, 'UTC') as timezone,
       {kind} as kind,
       extract(epoch from greatest(s.created_on, s.updated_on))::float8 as since,
       extract(epoch from
         (select t.created_on from {table} t
           where t.name = '__pgboss__send-it' and t.state <> 'cancelled' and t.singleton_on is not null
             and coalesce(t.singleton_key, '') = any ({singleton_keys}) and t.state = 'completed'
           order by t.singleton_on desc limit 1))::float8 as fired
  from {schedule} s
 order by 1, 2
