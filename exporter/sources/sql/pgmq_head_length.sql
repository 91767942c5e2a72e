-- How many jobs stand before the first ready one; no row when none of the first is ready. Stops at that one.
select place - 1 as jobs
  from (select vt, row_number() over (order by msg_id) as place from {table}
         where msg_id >= {id_from} order by msg_id limit {cap}) s
 where vt <= now()
 limit 1
