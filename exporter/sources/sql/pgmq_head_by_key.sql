-- A queue without an index on vt (partitioned ones): the longest-ready job is found when it is counted.
select {queue} as queue,
       null::float8 as oldest_ready,
       h.msg_id as head_id,
       extract(epoch from h.enqueued_at)::float8 as head_enqueued
  from (select 1) always
  left join lateral (select msg_id, enqueued_at from {table}
                      where msg_id >= {id_from} order by {key} limit 1) h on true
