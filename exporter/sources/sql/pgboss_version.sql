-- The version of the schema, and when pg-boss's own passes last ran.
select version::int as version, {tasks} as tasks from {version_table}
