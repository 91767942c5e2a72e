(select e.queue, coalesce((select array_agg(n.name) from unnest({kept_queues}, {kept_names}) n(queue, name)
                            where n.queue = e.queue), '{{}}'), e.most
   from unnest({queues}, {mosts}) e(queue, most)) k(queue, kept, most)
