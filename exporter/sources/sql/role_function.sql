
-- {about}
create function {name}({parameters})
returns table ({columns})
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set datestyle = 'ISO, MDY'
set standard_conforming_strings = on{more}
as {body};
comment on function {name}({types}) is {comment};
