-- The right is asked for first: without it PostgreSQL 15 raises an error. NULL then means: nothing sent yet.
select s.oid::bigint as sequence,
       case when has_sequence_privilege(s.oid, 'USAGE, SELECT') then coalesce(pg_sequence_last_value(s.oid), 0)
       end as last_value
  from unnest({sequences}::oid[]) as s(oid)
