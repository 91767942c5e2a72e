-- Whether an owner may have functions called: superusers, the owner of the database, and those of schemas
-- of queues that the configuration says are there.
exists (select from pg_roles r
         where r.oid = {owner}
           and (r.rolsuper
                or r.oid = (select datdba from pg_database where datname = current_database())
                or r.oid in (select nspowner from pg_namespace where nspname = any ({schemas}::text[]))))
