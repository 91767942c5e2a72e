-- Every job of a small queue, from its edge.
select {queue} as queue, {value} as v, {state} as state, t.vt as since
  from (select * from {table} where msg_id >= {id_from} limit {cap}) t
