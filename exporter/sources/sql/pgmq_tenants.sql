-- Jobs by tenant and state, of the rows looked at. One pass with as few counters as there are facts: with a thousand
-- tenants in a queue, each counter costs as much as reading the rows. The earliest is the oldest ready one, if any is ready.
select {value} as v,
       count(*) filter (where {ready}) as ready,
       count(*) - count(*) filter (where {ready}) - count(*) filter (where not {ready} and t.read_ct > 0) as scheduled,
       count(*) filter (where not {ready} and t.read_ct > 0) as in_flight,
       count(*) as jobs,
       min(t.vt) as oldest
  from {rows} t
 group by 1
