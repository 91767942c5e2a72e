-- The queues that pg-boss knows: facts, and the counters that it caches itself where this version has them.
select name::text as queue,
       {policy},
       {dead_letter},
       {table_name},
       {partition},
       {retry_limit},
       {deletion_seconds},
       {deferred_count},
       {queued_count},
       {ready_count},
       {active_count},
       {failed_count},
       {blocked_count},
       extract(epoch from {monitor_on})::float8 as monitored_at,
       extract(epoch from {maintain_on})::float8 as maintained_at
  from {queue_table}
 order by 1
