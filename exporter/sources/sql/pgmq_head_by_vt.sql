-- Two index probes: the longest-ready job and the lowest id, each from its edge.
select {queue} as queue,
       (select extract(epoch from vt)::float8 from {table}
         where vt >= {ready_from} and vt <= now() order by vt limit 1) as oldest_ready,
       h.msg_id as head_id,
       extract(epoch from h.enqueued_at)::float8 as head_enqueued
  from (select 1) always
  left join lateral (select msg_id, enqueued_at from {table}
                      where msg_id >= {id_from} order by msg_id limit 1) h on true
