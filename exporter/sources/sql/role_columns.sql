-- The columns of a table.
array(select a.attname::text from pg_attribute a
       where a.attrelid = to_regclass(format('%I.%I', {schema}, {table})) and a.attnum > 0 and not a.attisdropped)
