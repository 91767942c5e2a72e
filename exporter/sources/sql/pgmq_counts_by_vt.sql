-- Ready, unready and the first by id, each pass bounded and in its index's order. Where more are unready than the cap,
-- the last ones seen and those with the farthest times tell how those in between may be split.
select {queue} as queue,
       r.jobs as ready,
       u.jobs as unready,
       u.leased as leased,
       case when b.looked_at > 0 then b.looked_at + least({leases}, {cap}) else 0 end as beyond_looked_at,
       case when b.looked_at > 0 then b.leased + u.last_leased else 0 end as beyond_leased,
       r.oldest_ready,
       u.next_ready,
       u.oldest_read,
       u.redelivered + f.redelivered as redelivered,
       f.oldest_enqueued,
       f.head
  from (select count(*) as jobs, extract(epoch from min(vt))::float8 as oldest_ready
          from (select vt from {table} where vt >= {ready_from} and vt <= now() order by vt limit {cap}) s) r,
       (select count(*) as jobs,
               count(*) filter (where read_ct > 0) as leased,
               count(*) filter (where read_ct > 0 and place > {cap} - {leases}) as last_leased,
               extract(epoch from min(vt))::float8 as next_ready,
               extract(epoch from min(last_read_at) filter (where read_ct > 0))::float8 as oldest_read,
               count(*) filter (where read_ct > {poison} and place <= {leases}) as redelivered
          from (select vt, read_ct, {last_read}, row_number() over (order by vt) as place from {table}
                 where vt > greatest(now(), {unready_from}) order by vt limit {cap}) s) u,
       lateral (select count(*) as looked_at, count(*) filter (where read_ct > 0) as leased
                  from (select read_ct from {table} where vt > now() order by vt desc
                         limit case when u.jobs >= {cap} then {leases} else 0 end) s) b,
       (select extract(epoch from min(enqueued_at))::float8 as oldest_enqueued,
               count(*) filter (where read_ct > {poison} and vt <= now()) as redelivered,
               min(place) filter (where vt <= now()) - 1 as head
          from (select read_ct, vt, enqueued_at, row_number() over (order by msg_id) as place from {table}
                 where msg_id >= {id_from} order by msg_id limit {first}) s) f
