-- A workflow product with tenants: a project is a tenant, a run is one execution of a workflow, and each attempt at a
-- run is one job in the queue and one row of job_tracking.
create table public.projects (
  id uuid primary key default gen_random_uuid(),
  owner uuid not null default gen_random_uuid(),
  name text not null unique,
  created_at timestamptz not null default now()
);

create table public.workflow_runs (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references public.projects on delete cascade,
  workflow_id uuid not null,
  status text not null default 'queued' check (status in ('queued', 'running', 'succeeded', 'failed')),
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index workflow_runs_project on public.workflow_runs (project_id, created_at);

create table public.job_tracking (
  id bigint generated always as identity primary key,
  msg_id bigint not null,
  run_id uuid not null references public.workflow_runs on delete cascade,
  queue_name text not null,
  attempt integer not null default 1,
  max_attempts integer not null default 3,
  enqueued_at timestamptz not null default now(),
  started_at timestamptz,
  completed_at timestamptz,
  failed_at timestamptz,
  moved_to_dlq_at timestamptz,
  error_message text,
  unique (queue_name, msg_id)
);
create index job_tracking_completed on public.job_tracking (completed_at, queue_name);
create index job_tracking_failed on public.job_tracking (failed_at, queue_name);
create index job_tracking_run on public.job_tracking (run_id);

create table public.queue_config (
  queue_name text primary key,
  visibility_timeout_seconds integer not null default 30,
  max_retry_attempts integer not null default 3,
  retry_backoff_seconds integer not null default 4,
  dead_letter_queue text
);
insert into public.queue_config (queue_name, dead_letter_queue)
values ('workflow_jobs', 'workflow_jobs_dlq'), ('workflow_jobs_dlq', null);

select pgmq.create('workflow_jobs');
select pgmq.create('workflow_jobs_dlq');

-- People see their own projects and runs. The queue's own tables belong to the workers.
alter table public.projects enable row level security;
alter table public.workflow_runs enable row level security;

create policy own_projects on public.projects
  for all to authenticated
  using (owner = auth.uid())
  with check (owner = auth.uid());
create policy runs_of_own_projects on public.workflow_runs
  for select to authenticated
  using (project_id in (select id from public.projects where owner = auth.uid()));

grant usage on schema public to anon, authenticated, service_role;
grant select, insert, update, delete on public.projects to authenticated;
grant select on public.workflow_runs to authenticated;

grant usage on schema pgmq to service_role;
grant select, insert, update, delete on all tables in schema public, pgmq to service_role;
grant usage, select on all sequences in schema public, pgmq to service_role;
