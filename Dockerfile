FROM python:3.13-slim AS build
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

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin celeryctl
COPY --from=build /opt/celeryctl /opt/celeryctl
ENV PATH=/opt/celeryctl/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/celeryctl
USER celeryctl
ENTRYPOINT ["celeryctl"]
