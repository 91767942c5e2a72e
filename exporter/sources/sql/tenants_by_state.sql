-- Jobs by state, of the rows looked at: by tenant, or by queue and tenant.
select {by},
       count(*) filter (where j.state = 'ready') as ready,
       count(*) filter (where j.state = 'scheduled') as scheduled,
       count(*) filter (where j.state = 'in_flight') as in_flight,
       count(*) filter (where j.state = 'blocked') as blocked,
       count(*) filter (where j.state = 'failed') as failed,
       count(*) as jobs,
       min(j.since) filter (where j.state = 'ready') as oldest
  from ({rows}) j
 group by {by}
