"""Roboflow's InferencePipeline on this project: run in this folder, beside ``sam3video``.

infer-sam3 serve --model tiny_shapes                       # in one environment
python video_pipeline.py clip.mp4 "red circle,blue square" # in Roboflow's: pip install inference
"""

import json
import sys
from typing import Any

from inference import InferencePipeline

video, class_names = sys.argv[1], sys.argv[2].split(",")

WORKFLOW = {
    "version": "1.0",
    "inputs": [{"type": "InferenceImage", "name": "image"}],
    "steps": [
        {
            "type": "roboflow_core/sam3_video@v1",
            "name": "tracker",
            "images": "$inputs.image",
            "class_names": class_names,
            "threshold": 0.5,
        },
    ],
    "outputs": [
        {
            "type": "JsonField",
            "name": "predictions",
            "selector": "$steps.tracker.predictions",
        }
    ],
}


def show(predictions: dict[str, Any], frame: Any) -> None:
    """Prints a line of JSON for each frame; Roboflow's ``render_boxes`` needs a screen."""
    found = predictions["predictions"]
    rows = zip(found.tracker_id, found.data["class_name"], found.xyxy.tolist(), strict=True)
    instances = [{"id": int(i), "class": str(name), "box": box} for i, name, box in rows]
    print(json.dumps({"frame": frame.frame_id, "instances": instances}), flush=True)


pipeline = InferencePipeline.init_with_workflow(
    video_reference=video,
    workflow_specification=WORKFLOW,
    on_prediction=show,
    api_key="any",
)
pipeline.start()
pipeline.join()
