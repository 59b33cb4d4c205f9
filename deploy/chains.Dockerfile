# Local chains for the demo, from the same lock file as the tests': anvil and Surfpool. For x86-64.
ARG BASE=node:22.20.0-bookworm-slim
FROM ${BASE}
WORKDIR /chains
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npm,target=/root/.npmrc \
    npm ci --omit=dev --ignore-scripts --no-fund --no-audit
COPY tests/nodes/surfpool.mjs ./
ENV PATH=/chains/node_modules/.bin:$PATH
USER 1000:1000
CMD ["anvil", "--host", "0.0.0.0", "--auto-impersonate"]
