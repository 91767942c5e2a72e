-- Lease the next job, for as long as the queue's configuration says.
select job.msg_id, job.message
  from public.queue_config config
 cross join pgmq.read(config.queue_name, config.visibility_timeout_seconds, 1) job
 where config.queue_name = %(queue)s
