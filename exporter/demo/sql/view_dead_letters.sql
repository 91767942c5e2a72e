-- Somebody looks at the dead letter queue: a read that leases nothing, but raises read_ct.
select msg_id, read_ct from pgmq.read(%(queue)s, 0, 20)
