-- The last attempt failed: archive the job, and keep it in the dead letter queue for somebody to look at.
with attempt as (
  update public.job_tracking
     set failed_at = clock_timestamp(), moved_to_dlq_at = clock_timestamp(), error_message = %(error)s
   where queue_name = %(queue)s and msg_id = %(msg_id)s
  returning run_id
), run as (
  update public.workflow_runs set status = 'failed', finished_at = clock_timestamp()
    from attempt where id = attempt.run_id
)
select pgmq.archive(config.queue_name, %(msg_id)s::bigint),
       pgmq.send(config.dead_letter_queue, %(message)s::jsonb || jsonb_build_object('error', %(error)s::text))
  from public.queue_config config
 where config.queue_name = %(queue)s
