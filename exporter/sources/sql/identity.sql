-- Which cluster this is: the same for its standbys, another one for a copy made with pg_dump.
select system_identifier::text as system from pg_control_system()
