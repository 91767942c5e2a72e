-- Rows of random pages: where ids are sparse, most exact ids would be gone.
(select * from {table} tablesample system ({percent}) limit {cap})
