-- A tenant.
insert into public.projects (name) values (%(name)s)
