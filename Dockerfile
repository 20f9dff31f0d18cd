# The image that TorchX's container schedulers run (Kubernetes, AWS Batch, local_docker):
#   docker build -t REGISTRY/nas-ctr-codesign .        (--build-arg BUILD=cpu: without CUDA)
# The wheels bring CUDA's libraries; the driver is the host's, through the NVIDIA container toolkit.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG BUILD=cuda
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# gcc: torch.compile and Triton build kernels as they run.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt ./
COPY launch/install.sh launch/
RUN launch/install.sh /opt/venv python3 ${BUILD} ${TORCH_INDEX}
ENV PATH=/opt/venv/bin:${PATH} NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

COPY . .
RUN python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .

# No ENTRYPOINT: AWS Batch would put it before the command that TorchX gives.
CMD ["python", "-m", "pipeline.chain", "--help"]
