-- Ready, unready, leases and the first by id, each pass bounded and in its index's order.
select {queue} as queue,
       r.jobs as ready,
       u.jobs as unready,
       l.leased as leased,
       l.looked_at as leases_looked_at,
       r.oldest_ready,
       u.next_ready,
       l.oldest_read,
       l.redelivered + f.redelivered as redelivered,
       f.oldest_enqueued,
       f.head,
       f.jobs as head_looked_at
  from (select count(*) as jobs, extract(epoch from min(vt))::float8 as oldest_ready
          from (select vt from {table} where vt >= {ready_from} and vt <= now() order by vt limit {cap}) s) r,
       (select count(*) as jobs, extract(epoch from min(vt))::float8 as next_ready
          from (select vt from {table} where vt > greatest(now(), {unready_from}) order by vt limit {cap}) s) u,
       (select count(*) filter (where read_ct > 0) as leased,
               count(*) as looked_at,
               extract(epoch from min(last_read_at) filter (where read_ct > 0))::float8 as oldest_read,
               count(*) filter (where read_ct > {poison}) as redelivered
          from (select read_ct, {last_read} from {table}
                 where vt > greatest(now(), {unready_from}) order by vt limit 1000) s) l,
       (select count(*) as jobs,
               extract(epoch from min(enqueued_at))::float8 as oldest_enqueued,
               count(*) filter (where read_ct > {poison} and vt <= now()) as redelivered,
               min(place) filter (where vt <= now()) - 1 as head
          from (select read_ct, vt, enqueued_at, row_number() over (order by msg_id) as place from {table}
                 where msg_id >= {id_from} order by msg_id limit 100) s) f
