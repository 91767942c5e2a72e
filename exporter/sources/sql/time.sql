to_timestamp({at}::float8)
