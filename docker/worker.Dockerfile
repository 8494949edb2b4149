# One image for workers and for the launcher of the Flex Template: a pickled step fits only the code
# and the versions that it was pickled with. Build it from the root of the repository (README.md).
# To pin by digest: --build-arg BEAM_IMAGE=apache/beam_python3.11_sdk@sha256:...
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0
ARG LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00

FROM ${LAUNCHER_IMAGE} AS launcher

FROM ${BEAM_IMAGE} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY ingest ingest
COPY pipelines pipelines
COPY train_entry train_entry
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BEAM_IMAGE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /opt/uncurated
COPY requirements.lock ./
COPY --from=wheel /wheels wheels
# All that a worker needs is here, at the versions of the lock: nothing is fetched when it starts.
ARG EXTRAS=beam,gcp,onnx,s3
RUN pip install --no-cache-dir --constraint requirements.lock \
        "$(echo wheels/uncurated-*.whl)[${EXTRAS}]" \
    && pip check \
    && test -x /opt/apache/beam/boot \
    && python -c "import pipelines.build" \
    && uncurated --version
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/
COPY docker/main.py ./
RUN useradd --uid 1000 --create-home uncurated && mkdir /var/cache/numba && chmod 1777 /var/cache/numba

# No environment of its own for each worker: there is nothing to install into it.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    NUMBA_CACHE_DIR=/var/cache/numba \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/uncurated/main.py

# Dataflow gives a worker folders below /var/opt that only root can write to, and its launcher logs to
# /var/log. Elsewhere (Flink, Spark, Kubernetes): --build-arg RUN_AS=uncurated.
ARG RUN_AS=root
USER ${RUN_AS}
ENTRYPOINT ["/opt/apache/beam/boot"]
