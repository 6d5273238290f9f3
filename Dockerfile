# The worker, without weights: they come from the hub, or from a folder mounted at /models.
#   docker build --target cuda -t listener .
#   docker build --target runpod -t listener:runpod .   the same for RunPod, Pod or Serverless: docs/deployment.md
#   docker build --target cpu --build-arg TORCH_INDEX_URL=<PyTorch's CPU index; its "Get started" page names it> -t listener:cpu .

FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/models LISTENER_CACHE_DIR=/models/listener LISTENER_HTTP_HOST=0.0.0.0
RUN useradd --uid 10001 --create-home listener && install -d -o listener -g listener /models
WORKDIR /home/listener
VOLUME /models
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["listener"]
CMD ["run"]

FROM base AS wheel
WORKDIR /source
RUN pip install hatchling==1.33.0
COPY pyproject.toml README.md LICENSE ./
COPY listener listener
COPY handlers handlers
COPY devstack/__init__.py devstack/
COPY supabase/migrations supabase/migrations
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM base AS cpu
ARG TORCH_INDEX_URL=
RUN if [ -n "$TORCH_INDEX_URL" ]; then pip install --index-url "$TORCH_INDEX_URL" torch==2.13.0; else pip install torch==2.13.0; fi
COPY requirements-worker.lock /tmp/
RUN pip install --no-deps --require-hashes -r /tmp/requirements-worker.lock
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps /wheel/*.whl
ENV LISTENER_DEVICE=cpu
USER 10001

FROM base AS cuda
# On Linux the registry's own build of torch carries the CUDA libraries: the host needs the NVIDIA driver and container runtime only.
RUN pip install torch==2.13.0
COPY requirements-worker.lock /tmp/
RUN pip install --no-deps --require-hashes -r /tmp/requirements-worker.lock
COPY --from=wheel /wheel /wheel
RUN pip install --no-deps /wheel/*.whl
ENV LISTENER_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001

FROM cuda AS runpod
# The network volume is mounted there; what is brought once is there for every later worker.
ENV MODEL_STORAGE_PATH=/runpod-volume/models LISTENER_CACHE_DIR=/runpod-volume/listener LISTENER_SOURCES=sweep
CMD ["serverless"]
