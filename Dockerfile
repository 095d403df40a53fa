# MRSR-TF with the DICOM node, compressed transfer syntaxes and DICOM SEG, in the locked versions.
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
ENTRYPOINT ["python", "-m"]
CMD ["mrsr_tf.infer", "--help"]
