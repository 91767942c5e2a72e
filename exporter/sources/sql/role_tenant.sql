
-- Where the tenant of a queue's jobs stands, as the configuration said. This is what keeps payloads in: nobody who calls
-- the functions chooses what they group by.
create function {name}(_queue text, _place oid)
returns text language plpgsql stable
as {body};
