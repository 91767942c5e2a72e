{about}
begin;
set local search_path = pg_catalog, pg_temp;
do $do$
declare
  other record;
begin
  for other in select p.oid::regprocedure as made from pg_proc p
                where p.pronamespace = (select oid from pg_namespace where nspname = {schema})
                  and ({kinds})
  loop
    execute format('drop function %s', other.made);
  end loop;
end
$do$;
{rest}