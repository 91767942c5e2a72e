-- An attempt failed and another one is allowed: archive the job, and send it again with the next attempt's number.
with attempt as (
  update public.job_tracking set failed_at = clock_timestamp(), error_message = %(error)s
   where queue_name = %(queue)s and msg_id = %(msg_id)s
  returning run_id, max_attempts
), next as (
  select attempt.run_id, attempt.max_attempts, sent.msg_id
    from attempt
    join public.queue_config config on config.queue_name = %(queue)s
   cross join pgmq.archive(%(queue)s, %(msg_id)s::bigint) as archived (done)
   cross join pgmq.send(
           %(queue)s,
           %(message)s::jsonb || jsonb_build_object('attempt', %(attempt)s::integer + 1),
           config.retry_backoff_seconds * %(attempt)s::integer
         ) as sent (msg_id)
)
insert into public.job_tracking (msg_id, run_id, queue_name, attempt, max_attempts)
select msg_id, run_id, %(queue)s, %(attempt)s::integer + 1, max_attempts from next
