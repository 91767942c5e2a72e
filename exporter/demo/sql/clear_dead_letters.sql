-- Somebody has dealt with the oldest dead letters.
select pgmq.archive(%(queue)s, array(select msg_id from pgmq.q_workflow_jobs_dlq order by msg_id limit 200))
 where (select count(*) from pgmq.q_workflow_jobs_dlq) > 400
