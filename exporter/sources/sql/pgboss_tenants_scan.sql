-- Every live job of a small table, where no index holds these.
select t.name as queue, {value} as v, {state} as state, t.start_after as since
  from (select * from {table} where state in ('created', 'retry', 'active', 'failed') offset 0) t
 where t.name = any ({queues})
