-- The queues pgmq knows and the tables they live in: lower-cased, and cut to a name's length as Postgres cuts it.
select m.queue_name::text as queue,
       m.is_partitioned as partitioned,
       m.is_unlogged as unlogged,
       lower('q_' || m.queue_name)::name::text as queue_table,
       lower('a_' || m.queue_name)::name::text as archive_table
  from {meta} m
 order by 1
