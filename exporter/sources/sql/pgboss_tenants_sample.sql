-- Live jobs of random pages, for all large queues of a table at once: of many pages some jobs each, as those of a page
-- are often one tenant's. By state first (most jobs of a table have ended), by name last: which is dearer.
select t.name as queue, {value} as v, {state} as state, t.start_after as since
  from (select * from {table} tablesample system ({percent})
         where {of} and state in ('created', 'retry', 'active', 'failed') and random() < {thin} limit {cap}) t
 where t.name = any ({queues})
