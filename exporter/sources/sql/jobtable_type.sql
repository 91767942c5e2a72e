-- The type of one expression over the job table. It returns no row of it; what the planner runs may read some.
select {key}::text as key, pg_typeof(a.value)::text as type
  from (select 1) always
  left join (select {value} as value from {table} job limit 0) a on true
