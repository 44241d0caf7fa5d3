# The server with its embedded PostgreSQL, as one unprivileged process tree. All state is under /data.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
# pip and the build backend stay in a venv of their own: the one that serves has neither.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --no-deps --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/crewship
# Dependencies change less often than code: this layer is the one that lasts. Nothing is installed but the files whose hashes are known.
RUN /opt/build/bin/pip --python /opt/crewship/bin/python install --require-hashes --no-deps --requirement requirements/serve.txt
COPY models models
COPY resolvers resolvers
COPY schema schema
COPY rest_compat rest_compat
COPY runtime runtime
COPY crewship crewship
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /opt/build/wheel . \
 && /opt/build/bin/pip --python /opt/crewship/bin/python install --no-deps /opt/build/wheel/*.whl \
 && /opt/crewship/bin/python -m compileall -q /opt/crewship/lib

FROM ${BASE}
# Both numbers are fixed, so that the owner of the volume is the same on every base.
RUN groupadd --gid 10001 crewship \
 && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /data --no-create-home --shell /usr/sbin/nologin crewship \
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
