-- When the oldest queued job was enqueued: the first of each priority, of at most twenty.
(with recursive first as (
   (select t.priority, t.created_on from {table} t where t.name = q.queue and {order}
     order by t.priority desc, t.created_on limit 1)
   union all
   select n.priority, n.created_on
     from first f,
          lateral (select t.priority, t.created_on from {table} t
                    where t.name = q.queue and {order} and t.priority < f.priority
                    order by t.priority desc, t.created_on limit 1) n)
 select min(s.created_on) from (select created_on from first limit 20) s)
