-- Without the index in the order of fetching: the oldest of the first hundred by their time.
least((select min(s.created_on)
         from (select t.created_on from {table} t
                where t.name = q.queue and t.state = 'created' and {unblocked} and {live}
                order by t.start_after limit 100) s),
      (select min(s.created_on)
         from (select t.created_on from {table} t
                where t.name = q.queue and t.state = 'retry' and {unblocked} and {live}
                order by t.start_after limit 100) s))
