# The daemon's image. BASE is any Debian-like image with Python 3.11 or later; give it with its digest to pin it for good.
ARG BASE=python:3.13.9-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock ./
# Every wheel by its hash. The lock also holds what only development needs: it is downloaded too, and left behind.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /build \
    && /build/bin/pip download --no-cache-dir --no-deps --require-hashes -r requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY chains chains
COPY config config
COPY notifier notifier
COPY watcher watcher
RUN python3 -m venv --without-pip /venv \
    && /build/bin/pip --python /venv/bin/python install --no-cache-dir --no-index --find-links /wheels ".[embedded]"

FROM ${BASE}
RUN groupadd --gid 10001 watcher \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin watcher \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TOPUP_DATA_DIR=/data \
    TOPUP_LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["/venv/bin/topup-watcher"]
CMD ["run", "--config", "/etc/topup-watcher/watcher.toml"]
