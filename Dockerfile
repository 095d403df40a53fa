# MRSR-TF with the worker beside Orthanc, compressed transfer syntaxes and DICOM SEG, in the locked
# versions. deploy/docker-compose.yml runs it as that worker; deploy/entrypoint also makes it a
# module of a router that starts containers.
#
#   docker build --tag mrsr-tf .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" mrsr-tf mrsr_tf.infer --input=knee --output=fine
#
# With CUDA: docker build --build-arg EXTRAS=gpu,compressed,node,seg, and docker run --gpus=all.
FROM python:3.11-slim
ARG EXTRAS=compressed,node,seg
COPY . /source
RUN pip install --no-cache-dir --constraint /source/requirements.lock tensorflow==2.21.0 "/source[$EXTRAS]"
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
USER nobody
WORKDIR /data
ENTRYPOINT ["/source/deploy/entrypoint"]
CMD ["mrsr_tf.infer", "--help"]
