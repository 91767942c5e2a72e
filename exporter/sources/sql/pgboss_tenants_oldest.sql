-- The longest-ready jobs of a large queue, for the age of each of their tenants; those to be tried again by themselves, as
-- the index has them.
select t.name as queue, {value} as v, 'ready' as state, t.start_after as since
  from ((select * from {table}
          where name = {queue} and state = 'created' and {unblocked} and start_after >= {ready_from}
            and start_after <= now() and {live} order by start_after limit {cap})
         union all
        (select * from {table}
          where name = {queue} and state = 'retry' and {unblocked} and start_after >= {ready_from}
            and start_after <= now() and {live} order by start_after limit {cap})) t
