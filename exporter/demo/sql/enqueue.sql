-- A new run of a workflow, the job for its first attempt, and that job's row of times.
with run as (
  insert into public.workflow_runs (project_id, workflow_id)
  select id, %(workflow)s from public.projects where name = %(tenant)s
  returning id, project_id, workflow_id
), job as (
  select run.id as run_id, sent.msg_id, config.max_retry_attempts as max_attempts
    from run
    join public.queue_config config on config.queue_name = %(queue)s
   cross join pgmq.send(
           config.queue_name,
           jsonb_build_object(
             'run_id', run.id,
             'workflow_id', run.workflow_id,
             'project_id', run.project_id,
             'attempt', 1,
             'max_attempts', config.max_retry_attempts,
             'metadata', jsonb_build_object('trigger', 'webhook', 'tenant', %(tenant)s::text)
           ),
           %(delay)s::integer
         ) as sent (msg_id)
)
insert into public.job_tracking (msg_id, run_id, queue_name, attempt, max_attempts)
select msg_id, run_id, %(queue)s, 1, max_attempts from job
