-- Those that belong to this schema, of the ones asked for.
array(select c.oid from pg_class c
       where c.oid = any ({sequences}) and c.relkind = 'S'
         and c.relnamespace = (select oid from pg_namespace where nspname = {schema}))
