-- An attempt succeeded: the job is deleted.
with attempt as (
  update public.job_tracking set completed_at = clock_timestamp()
   where queue_name = %(queue)s and msg_id = %(msg_id)s
  returning run_id
), run as (
  update public.workflow_runs set status = 'succeeded', finished_at = clock_timestamp()
    from attempt where id = attempt.run_id
)
select pgmq.delete(%(queue)s, %(msg_id)s::bigint)
