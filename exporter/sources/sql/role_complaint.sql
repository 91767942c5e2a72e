
-- What is said of an error: never its own message, which might quote a job.
create function {name}(_state text, _message text)
returns text language sql immutable
as $function$
select case when _state = '42501' and _message like '%row-level security%'
                 then 'query would be affected by row-level security policy: the owner of the functions needs bypassrls'
            when _state = '42501' and _message like 'not vouched for: %'
                 then substr(_message, 18) || ' belongs to a role that nobody vouched for when the functions were made: give it'
                      ' to a role that they trust, or run sql role again'
            when _state = '55006' then 'not called in a session that has made something temporary: what it is called might be'
                      ' what an expression of the configuration names'
            when _state = '42501' then 'permission denied to the owner of the functions'
            when _state = '55P03' then 'canceling statement due to lock timeout'
            when _state = '42P01' then 'no such queue or table'
            when _state = '42703' then 'no such column'
            when _state = '42883' then 'no such function or operator for these types'
            when _state = '42704' then 'no such type'
            when _state = '42601' then 'syntax error'
            when _state = '42804' then 'its table is not as it was made: a view, or a column of a type of its own'
            else 'refused by the functions: SQLSTATE ' || _state
       end
$function$;
