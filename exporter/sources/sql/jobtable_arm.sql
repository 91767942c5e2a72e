(select ({queue})::text as queue,
        ({outcome})::text as outcome,
        {finished} as finished,
        {started} as started,
        {enqueued} as enqueued,
        {attempt} as attempt,
        {tenant} as tenant
   from {table} job
  where {column} > {after} and {column} <= {until} and {first}
 {limit})
