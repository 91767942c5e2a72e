-- The longest-ready jobs, for the age of each of their tenants: a sample knows no tenant's oldest job.
(select * from {table} where vt >= {ready_from} and vt <= now() order by vt limit {cap})
