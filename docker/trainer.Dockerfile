# The trainer's image, for Slurm (pyxis, Apptainer), Kubernetes or one machine. Build it from the root
# of the repository (README.md). To pin by digest: --build-arg CUDA_IMAGE=nvidia/cuda@sha256:...
# Its CUDA is that of the locked torch, whose wheels bring cuBLAS, cuDNN and NCCL themselves: the
# `base` image adds the driver's libraries, and refuses a driver that is too old for this CUDA. An
# image with torch in it (pytorch/pytorch) would hold packages that the lock does not know.
ARG CUDA_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04

FROM ${CUDA_IMAGE} AS python
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The compiler and Python's headers are for torch.compile: Triton builds its launchers when it runs.
# No versions: the archive keeps none but the latest. The digest of the base pins what matters.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

FROM python AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY ingest ingest
COPY pipelines pipelines
COPY train_entry train_entry
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python
WORKDIR /opt/uncurated
COPY requirements.lock ./
COPY --from=wheel /wheels wheels
# The lock is made with torch's CPU wheel: CUDA's packages are not in it, but the CUDA wheel, which
# has the same version, names each of them by its exact version.
ARG EXTRAS=evaluate,train,train-stores
RUN pip install --no-cache-dir --constraint requirements.lock \
        "$(echo wheels/uncurated-*.whl)[${EXTRAS}]" \
    && pip check \
    && python -c "import torch, train_entry.loop; assert torch.version.cuda, torch.__version__" \
    && ln -s "$(python -c 'from train_entry.config import CONFIG_FOLDER; print(CONFIG_FOLDER)')" configs
# Slurm and Kubernetes may run it as any user, perhaps one without a home: all caches are here.
RUN useradd --uid 10001 --create-home uncurated \
    && mkdir /var/cache/uncurated \
    && chmod 1777 /var/cache/uncurated
ENV XDG_CACHE_HOME=/var/cache/uncurated \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/uncurated/inductor \
    TRITON_CACHE_DIR=/var/cache/uncurated/triton
# By number, so that Kubernetes sees that it is not root.
USER 10001
# torchrun, with its options, but that it ends with 75 if the run is to be taken up again.
ENTRYPOINT ["python", "-m", "train_entry.launch"]
