# Any image with Python 3.11 or later will do as BASE.
ARG BASE=python:3.13-slim
FROM ${BASE}

WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY chains chains
COPY config config
COPY notifier notifier
COPY watcher watcher
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock \
    && /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --system --create-home --home-dir /data watcher
USER watcher
WORKDIR /data
EXPOSE 8080
ENTRYPOINT ["/venv/bin/topup-watcher"]
CMD ["run", "--config", "/data/watcher.toml"]
