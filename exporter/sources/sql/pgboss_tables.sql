-- The tables of a pg-boss schema that are read, and the partitions of its job table.
c.relname in ('version', 'queue', 'job', 'archive', 'schedule', 'warning', 'instance')
or i.inhparent = (select j.oid from pg_class j join pg_namespace n on n.oid = j.relnamespace
                   where n.nspname = {schema} and j.relname = 'job')
