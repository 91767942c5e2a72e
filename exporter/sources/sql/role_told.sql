-- What an object is called that is involved when a relation is read.
pg_describe_object({row}.class, {row}.object, 0)
       || case when {row}.object = {row}.relation then ''
               else ' (used by ' || pg_describe_object('pg_class'::regclass, {row}.relation, 0) || ')' end
