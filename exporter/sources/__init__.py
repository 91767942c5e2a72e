"""Where numbers come from: one module a queue system, and ``postgres``, the only way to a server."""
