# To pin the base image for builds that can be repeated, give its digest (sha256:…) with --build-arg PYTHON_DIGEST=…;
# `docker pull python:3.13-slim` prints it.
ARG PYTHON_DIGEST=
FROM python:3.13-slim${PYTHON_DIGEST:+@$PYTHON_DIGEST} AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/celeryctl
ENV PATH=/opt/celeryctl/bin:$PATH
WORKDIR /build
# The dependencies first: they change less often than the code, and this layer is the large one.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY celeryctl ./celeryctl
RUN pip install --no-deps --no-build-isolation . \
 && pip uninstall --yes hatchling pathspec pluggy tomlkit trove-classifiers pip

FROM base
# Whoever gets into a container finds nothing that installs.
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
 && rm -rf "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip" \
 && useradd --uid 10001 --create-home --shell /usr/sbin/nologin celeryctl
COPY --from=build /opt/celeryctl /opt/celeryctl
ENV PATH=/opt/celeryctl/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HEARTBEAT_FILE=/tmp/heartbeat
WORKDIR /home/celeryctl
USER celeryctl
STOPSIGNAL SIGTERM
# Of a worker or a beat, without starting Python; other programs are asked otherwise, as docker-compose.yml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD test -n "$(find "$HEARTBEAT_FILE" -type f -newermt '-30 seconds')"
ENTRYPOINT ["celeryctl"]
# Last, since they change with every version.
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="celeryctl" \
      org.opencontainers.image.description="Drive and watch a Celery cluster that keeps a PostgreSQL table of users complete from HTTP APIs" \
      org.opencontainers.image.source="https://github.com/celeryctl/celeryctl" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
