"""Prometheus exporter for job queues that live in Postgres."""

__version__ = "0.1.0"
