-- Every job of a small queue, from its edge.
(select * from {table} where msg_id >= {id_from} limit {cap})
