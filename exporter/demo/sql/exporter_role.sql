-- A role of the exporter's own: it reads the queues and others' transactions, and may neither send nor take a job.
-- bypassrls: workflow_runs, which carries the tenant of a job, is hidden from everyone but its owner.
do $$
begin
  if not exists (select from pg_roles where rolname = 'pgqueue_exporter') then
    create role pgqueue_exporter login;
  end if;
end
$$;
alter role pgqueue_exporter bypassrls connection limit 4;
grant pg_read_all_stats to pgqueue_exporter;

grant usage on schema pgmq, public to pgqueue_exporter;
grant select on all tables in schema pgmq to pgqueue_exporter;
grant select on all sequences in schema pgmq to pgqueue_exporter;
alter default privileges in schema pgmq grant select on tables to pgqueue_exporter;
alter default privileges in schema pgmq grant select on sequences to pgqueue_exporter;
grant select on public.workflow_runs, public.job_tracking, public.queue_config to pgqueue_exporter;
