# The HTTP server: Roboflow's API, Label Studio's, and a page to click on.
# One image for CPU and GPU: PyTorch's default wheels bring CUDA and run without a GPU, too.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/huggingface

# Not root; the folder of weights must be the user's, as a new volume takes its owner over.
RUN useradd --create-home --uid 1000 sam3 \
    && mkdir -p /data/huggingface /checkpoints \
    && chown -R sam3:sam3 /data /checkpoints

WORKDIR /app
COPY requirements.txt requirements-serve.txt ./
RUN pip install --no-cache-dir -r requirements-serve.txt

# The folder's name is the package's.
COPY LICENSE __init__.py __main__.py version.py ./infer_segment_anything_3/
COPY agent ./infer_segment_anything_3/agent
COPY cli ./infer_segment_anything_3/cli
COPY engine ./infer_segment_anything_3/engine
COPY serving ./infer_segment_anything_3/serving

USER 1000
# sam3, and never the bundled model in its place: a container is for answers that count.
ENV MODEL=sam3 \
    HOST=0.0.0.0 \
    PORT=9090
EXPOSE 9090
VOLUME ["/data", "/checkpoints"]

# The port opens when the model is loaded; the first start downloads 3.4 GB.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30m \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]

CMD ["python", "-m", "infer_segment_anything_3", "serve"]
