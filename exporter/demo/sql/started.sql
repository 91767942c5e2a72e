-- A worker has begun an attempt.
with attempt as (
  update public.job_tracking set started_at = clock_timestamp()
   where queue_name = %(queue)s and msg_id = %(msg_id)s
  returning run_id
)
update public.workflow_runs set status = 'running' from attempt where id = attempt.run_id
