-- The extension's version; no row where the SQL was installed without the extension.
select extversion::text as version from pg_extension where extname = 'pgmq'
