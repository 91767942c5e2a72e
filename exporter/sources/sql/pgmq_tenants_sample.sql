-- Jobs with exactly these ids, or none: the nearest one instead would favour those behind gaps. One id of each stratum.
(select r.*
   from (select ({first} + floor((n.i + random()) * ({last} - {first} + 1) / {probes}::float8))::bigint as id
           from generate_series(0, {probes} - 1) as n(i) offset 0) p
   join lateral (select * from {table} where msg_id = p.id offset 0) r on true)
