select current_setting('server_version_num')::int as version,
       pg_is_in_recovery() as standby,
       (select oid::bigint from pg_database where datname = current_database()) as database_oid,
       pg_backend_pid() as backend_pid,
       extract(epoch from statement_timestamp())::float8 as now,
       extract(epoch from pg_postmaster_start_time())::float8 as started,
       has_function_privilege('pg_control_system()', 'execute') as identifiable,
       pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all_activity
