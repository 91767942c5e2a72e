-- The same in one pass in the key's order: where few ids are left, and where there is no index on vt.
select {queue} as queue,
       count(*) filter (where vt <= now()) as ready,
       count(*) filter (where vt > now()) as unready,
       count(*) filter (where vt > now() and read_ct > 0) as leased,
       0::bigint as beyond_looked_at,
       0::bigint as beyond_leased,
       extract(epoch from min(vt) filter (where vt <= now()))::float8 as oldest_ready,
       extract(epoch from min(vt) filter (where vt > now()))::float8 as next_ready,
       extract(epoch from min(last_read_at) filter (where vt > now() and read_ct > 0))::float8 as oldest_read,
       count(*) filter (where read_ct > {poison} and (vt > now() or place <= {first})) as redelivered,
       extract(epoch from min(enqueued_at) filter (where place <= {first}))::float8 as oldest_enqueued,
       min(place) filter (where vt <= now()) - 1 as head
  from (select vt, read_ct, enqueued_at, {last_read}, row_number() over (order by {key}) as place from {table}
         where msg_id >= {id_from} order by {key} limit {cap}) s
