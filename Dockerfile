# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /venv
COPY requirements/ requirements/
RUN /venv/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/run.txt
# The build backend stays out of the image; its pin is the one of the development environment.
RUN awk '/^setuptools==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements/dev.txt > build.txt \
    && pip install --no-deps --require-hashes -r build.txt
COPY pyproject.toml README.md ./
COPY schemas/ schemas/
COPY consumer/ consumer/
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /venv/bin/pip install --no-deps /wheels/*.whl

FROM python:3.11-slim

# A volume that is mounted on artefacts for the first time gets this directory's owner.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/forecast-consumer forecast \
    && install --directory --owner=forecast --group=forecast /var/lib/forecast-consumer/artefacts
COPY --from=build /venv /venv
# One thread for each model process: several processes share the cores already.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    FORECAST_ADMIN_HOST=0.0.0.0 \
    FORECAST_ADMIN_PORT=8081
USER 10001
WORKDIR /var/lib/forecast-consumer
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['FORECAST_ADMIN_PORT']}/livez\", timeout=2)"]
# Exec form: the service itself gets SIGTERM. Run with --init (docker-compose.yml does), so that model processes
# that were killed are reaped whoever their parent was.
ENTRYPOINT ["forecast-consumer"]
CMD ["run"]
