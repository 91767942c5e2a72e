-- Live jobs by state, each bounded, by the index over live jobs; of active ones also the times.
select q.queue,
       created.jobs + retry.jobs as ready,
       created_later.jobs + retry_later.jobs as scheduled,
       extract(epoch from least(created.first, retry.first))::float8 as oldest_ready,
       extract(epoch from least(created_later.first, retry_later.first))::float8 as next_ready,
       extract(epoch from least({oldest_queued}, blocked.oldest))::float8 as oldest_queued,
       blocked.jobs as blocked,
       failed.jobs as failed,
       active.jobs as active,
       active.oldest_started,
       active.newest_started,
       active.oldest_active,
       active.expired,
       active.next_expiry,
       extract(epoch from {newest_ended})::float8 as newest_ended
  from {queues},
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.state = 'created' and {unblocked}
                           and t.start_after >= q.ready_from and t.start_after <= now() and {live}
                         order by t.start_after limit {cap}) s) created,
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.state = 'retry' and {unblocked}
                           and t.start_after >= q.ready_from and t.start_after <= now() and {live}
                         order by t.start_after limit {cap}) s) retry,
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.state = 'created' and {unblocked} and t.start_after > now()
                           and {live} order by t.start_after limit {cap}) s) created_later,
       lateral (select count(*) as jobs, min(start_after) as first
                  from (select t.start_after from {table} t
                         where t.name = q.queue and t.state = 'retry' and {unblocked} and t.start_after > now()
                           and {live} order by t.start_after limit {cap}) s) retry_later,
       lateral ({blocked}) blocked,
       lateral (select count(*) as jobs
                  from (select from {table} t
                         where t.name = q.queue and t.state = 'failed' and {live} limit {cap}) s) failed,
       lateral (select count(*) as jobs, {active}
                  from (select {active_columns} from {table} t
                         where t.name = q.queue and t.state = 'active' and {live} limit {cap}) s) active
