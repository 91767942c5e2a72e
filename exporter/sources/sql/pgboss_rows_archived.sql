-- A job is in one of both at any moment: one snapshot sees it once.
(select {columns}, true as live from {table} t
 union all
 select {columns}, false from {archive} where name = {queue} and archived_on > to_timestamp({after}))
