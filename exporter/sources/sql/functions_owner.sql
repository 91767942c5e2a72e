-- Whose the schema of the functions is, where it is nobody's whose functions would be called.
select pg_get_userbyid(p.nspowner)::text as owner
  from pg_namespace p
 where p.nspname = {schema} and not ({trusted})
