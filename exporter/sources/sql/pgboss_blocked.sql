select (select count(*) from (select from {table} t
                               where t.name = q.queue and t.state in ('created', 'retry') and t.blocked and {live}
                               limit {cap}) s) as jobs,
       (select min(created_on) from (select t.created_on from {table} t
                                      where t.name = q.queue and t.state in ('created', 'retry') and t.blocked
                                        and {live} limit 100) s) as oldest
