ARG PYTHON=3.13.7-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/exporter
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY rules/thresholds.yml rules/thresholds.yml
# Of the demo, which the wheel holds too.
COPY alertmanager/alertmanager.yml alertmanager/alertmanager.yml
COPY alertmanager/templates alertmanager/templates
COPY prometheus/prometheus.yml prometheus/prometheus.yml
RUN /opt/exporter/bin/pip install . && /opt/exporter/bin/pip uninstall --yes pip

FROM python:${PYTHON}
COPY --from=build /opt/exporter /opt/exporter
ENV PATH=/opt/exporter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# A pgqueue.yml mounted here is found; without one, PGQUEUE_DSN says which database.
WORKDIR /etc/pgqueue
EXPOSE 9718
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["pgqueue-exporter", "ping", "--timeout", "2"]
ENTRYPOINT ["pgqueue-exporter"]
CMD ["serve", "--listen", "0.0.0.0:9718"]
