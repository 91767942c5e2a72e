-- Ready and scheduled jobs in one bounded pass, by the index in the order of fetching: there is none by time.
select q.queue,
       queued.ready,
       queued.later as scheduled,
       extract(epoch from queued.first)::float8 as oldest_ready,
       extract(epoch from queued.next)::float8 as next_ready,
       extract(epoch from {oldest_queued})::float8 as oldest_queued,
       null::bigint as blocked,
       null::bigint as failed,
       null::bigint as active,
       null::float8 as oldest_started,
       null::float8 as newest_started,
       null::float8 as oldest_active,
       null::bigint as expired,
       null::float8 as next_expiry,
       null::float8 as newest_ended
  from {queues},
       lateral (select count(*) filter (where start_after <= now()) as ready,
                       count(*) filter (where start_after > now()) as later,
                       min(start_after) filter (where start_after <= now()) as first,
                       min(start_after) filter (where start_after > now()) as next
                  from (select t.start_after from {table} t where t.name = q.queue and {order}
                         order by t.priority desc, t.created_on limit {cap}) s) queued
