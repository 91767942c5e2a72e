-- Every live job of a small queue.
select t.name as queue, {value} as v, {state} as state, t.start_after as since
  from (select * from {table} where name = {queue} and {live} limit {cap}) t
