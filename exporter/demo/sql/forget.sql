-- What is older than an hour goes, so that a demo left alone does not fill the disk.
with runs as (
  delete from public.workflow_runs where finished_at < now() - interval '1 hour'
), jobs as (
  delete from pgmq.a_workflow_jobs where archived_at < now() - interval '1 hour'
)
delete from pgmq.a_workflow_jobs_dlq where archived_at < now() - interval '1 hour'
