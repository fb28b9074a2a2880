# headscribe in a container, with what lies in the current folder:
#     docker build -t headscribe .
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" headscribe run quickstart
# Without a GPU, --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu makes it smaller by gigabytes.
FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL=
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[plots]' && rm -rf /src
# Whoever the container runs as finds a place for caches, which go with it.
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["headscribe"]
