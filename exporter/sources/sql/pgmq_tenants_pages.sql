-- Rows of random pages: where ids are sparse, most exact ids would be gone.
select {queue} as queue, {value} as v, {state} as state, t.vt as since
  from (select * from {table} tablesample system ({percent}) limit {cap}) t
