-- Processes that run workers: alive while they miss fewer than three of their own heartbeats.
select count(*) filter (where working and heartbeat_on >= now() - heartbeat_seconds * interval '3 s') as alive,
       count(*) filter (where working and heartbeat_on < now() - heartbeat_seconds * interval '3 s') as silent,
       count(*) as registered
  from (select heartbeat_on, heartbeat_seconds, stopped_on is null as working
          from {instance}
         where jsonb_array_length(workers) > 0) s
