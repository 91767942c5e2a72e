-- Processes that run workers: alive while they miss fewer than three of their own heartbeats.
select count(*) filter (where working and heartbeat_on >= now() - heartbeat_seconds * interval '3 s') as alive,
       count(*) filter (where working and heartbeat_on < now() - heartbeat_seconds * interval '3 s') as silent,
       count(*) filter (where works) as registered
  from (select heartbeat_on, heartbeat_seconds, jsonb_array_length(workers) > 0 as works,
               stopped_on is null and jsonb_array_length(workers) > 0 as working
          from {instance}) s
