(select {columns}, true as live from {table} t)
