-- Ready and scheduled jobs, each bounded, by the index that older versions fetch by. The others need a scan.
select q.queue,
       ready.jobs as ready,
       later.jobs as scheduled,
       extract(epoch from ready.first)::float8 as oldest_ready,
       extract(epoch from later.first)::float8 as next_ready,
       extract(epoch from queued.oldest)::float8 as oldest_queued,
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
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.start_after >= q.ready_from and t.start_after <= now()
                           and {fetch} order by t.start_after limit {cap}) s) ready,
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.start_after > now() and {fetch}
                         order by t.start_after limit {cap}) s) later,
       lateral (select min(created_on) as oldest
                  from (select t.created_on from {table} t
                         where t.name = q.queue and t.start_after >= q.ready_from and {fetch}
                         order by t.start_after limit 100) s) queued
