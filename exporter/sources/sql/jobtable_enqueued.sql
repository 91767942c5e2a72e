-- Jobs enqueued in a window.
select queue, count(*) as jobs
  from (select ({queue})::text as queue
          from {table} job
         where {column} > {after} and {column} <= {until}) s
 where queue is not null
 group by queue
 limit {most}
