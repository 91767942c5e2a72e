-- Live jobs of random pages, for all large queues of a table at once. By state first (most jobs of a table have ended),
-- by name only then: which is dearer.
select t.name as queue, {value} as v, {state} as state, t.start_after as since
  from (select * from {table} tablesample system ({percent})
         where {of} and state in ('created', 'retry', 'active', 'failed') limit {cap}) t
 where t.name = any ({queues})
