-- Processes that run workers: alive while they miss fewer than three of their own heartbeats.
select count(*) filter (where heartbeat_on >= now() - heartbeat_seconds * interval '3 s') as alive,
       count(*) filter (where heartbeat_on < now() - heartbeat_seconds * interval '3 s') as silent
  from {instance}
 where stopped_on is null and jsonb_array_length(workers) > 0
