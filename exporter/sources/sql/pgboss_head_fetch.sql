-- The longest-ready job of each queue, by the index that older versions fetch by.
select q.queue,
       extract(epoch from
         (select t.start_after from {table} t
           where t.name = q.queue and t.start_after >= q.ready_from and t.start_after <= now() and {fetch}
           order by t.start_after limit 1))::float8 as oldest_ready
  from {queues}
