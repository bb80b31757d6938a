# Build:  docker build -t ragopt .
# Run:    docker run -p 127.0.0.1:8080:8080 -e RAGOPT_API_KEY=… -v ragopt-data:/data ragopt
#
# TORCH_INSTALL_ARGS are pip options for the one line that installs torch. Empty, pip takes the default build, which
# on x86-64 brings CUDA with it: several GB that the CPU never uses. Pass a CPU wheel index to avoid that:
#   docker build --build-arg TORCH_INSTALL_ARGS="--index-url URL-OF-A-CPU-WHEEL-INDEX" -t ragopt .

FROM python:3.11-slim AS build
ARG TORCH_INSTALL_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ragopt
ENV PATH=/opt/ragopt/bin:$PATH
WORKDIR /build
COPY constraints.txt ./
RUN pip install ${TORCH_INSTALL_ARGS} --constraint constraints.txt torch==2.13.0
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY indexes indexes
COPY ragopt ragopt
COPY eval eval
RUN pip install --constraint constraints.txt .

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home ragopt \
    && install --directory --owner=ragopt --group=ragopt --mode=0750 /data
COPY --from=build /opt/ragopt /opt/ragopt
ENV PATH=/opt/ragopt/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAGOPT_HOST=0.0.0.0 \
    RAGOPT_DATA_DIR=/data
USER ragopt
WORKDIR /home/ragopt
# Converts the embedding model now, so that the first start of a container is as quick as the second.
RUN python -c "from indexes.embedding import Embedder; from ragopt.config import cache_dir; Embedder.load('', cache_folder=cache_dir()).close()" \
    && RAGOPT_DATA_DIR=/tmp/doctor ragopt doctor
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["ragopt", "serve"]
