# The server with its embedded PostgreSQL, as one unprivileged process tree. All state is under /data.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN python3 -m venv /opt/crewship \
 && /opt/crewship/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt hatchling
# Dependencies change less often than code: this layer is the one that lasts.
RUN mkdir models resolvers schema rest_compat runtime crewship \
 && /opt/crewship/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .
COPY models models
COPY resolvers resolvers
COPY schema schema
COPY rest_compat rest_compat
COPY runtime runtime
COPY crewship crewship
RUN /opt/crewship/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --force-reinstall . \
 && /opt/crewship/bin/pip uninstall --yes hatchling \
 && /opt/crewship/bin/python -m compileall -q /opt/crewship/lib

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin crewship \
 && install --directory --mode 0700 --owner crewship --group crewship /data
COPY --from=build /opt/crewship /opt/crewship
ENV PATH=/opt/crewship/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CREWSHIP_HOST=0.0.0.0 \
    CREWSHIP_PORT=8080 \
    CREWSHIP_DATA_DIR=/data
USER crewship
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['CREWSHIP_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["crewship"]
CMD ["serve"]
