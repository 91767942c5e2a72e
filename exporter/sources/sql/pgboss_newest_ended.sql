(select t.completed_on from {table} t
  where t.name = q.queue and t.completed_on is not null and {completed} order by t.completed_on desc limit 1)
