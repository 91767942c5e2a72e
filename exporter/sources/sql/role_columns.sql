-- The columns of a table.
(select coalesce(array_agg(a.attname::text), '{{}}') from pg_attribute a
  where a.attrelid = to_regclass({table}) and a.attnum > 0 and not a.attisdropped)
