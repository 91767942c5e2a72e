-- The longest-ready job of each queue, by the index over live jobs: one probe a state.
select q.queue,
       extract(epoch from least(
         (select t.start_after from {table} t
           where t.name = q.queue and t.state = 'created' and {unblocked} and t.start_after >= q.ready_from
             and t.start_after <= now() and {live} order by t.start_after limit 1),
         (select t.start_after from {table} t
           where t.name = q.queue and t.state = 'retry' and {unblocked} and t.start_after >= q.ready_from
             and t.start_after <= now() and {live} order by t.start_after limit 1)))::float8 as oldest_ready
  from {queues}
