(select e.queue, coalesce(array_agg(n.name) filter (where n.name is not null), '{{}}'), min(e.most)
   from unnest({queues}, {mosts}) e(queue, most)
   left join unnest({kept_queues}, {kept_names}) n(queue, name) on n.queue = e.queue
  group by e.queue) k(queue, kept, most)
