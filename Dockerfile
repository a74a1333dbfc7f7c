# archonsim in a container, from wheels alone: no compiler and, once the wheels are in dist/wheels, no network.
#
#     make wheels                      # archonsim's own wheel and those of all it needs, into dist/
#     docker build -t archonsim .
#     docker run --rm -v "$PWD/workloads:/workloads:ro" archonsim run -a archon -w /workloads/fusionet_digits.h5
FROM python:3.11-slim
COPY dist/ /dist/
RUN python -m pip install --no-cache-dir --no-index --find-links /dist/wheels /dist/archonsim-*.whl \
    && rm -rf /dist \
    && useradd --create-home user
USER user
WORKDIR /home/user
# Kernels compiled ahead, so that no run waits for it.
RUN archonsim warm
ENTRYPOINT ["archonsim"]
