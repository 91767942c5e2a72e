(select u.queue, array_agg(u.name) from unnest({kept_queues}, {kept_names}) u(queue, name) group by u.queue) k(queue, kept)
