"""Workflows through Roboflow's SDK: the page's example, and what else its users build.

Run by the Python of ``inference-sdk``: ``workflow_examples.py API IMAGE_URL FOLDER POINT``.
Writes the drawn image into the folder and prints JSON.
"""

import base64
import json
import sys

import cv2 as cv
import numpy as np
from inference_sdk import InferenceHTTPClient

api, image_url, folder, point_text = sys.argv[1:]
point = json.loads(point_text)

# The page's example, with another host, image and class name.
# 2. Connect to your workflow
client = InferenceHTTPClient(api_url=api, api_key="<YOUR_ROBOFLOW_API_KEY>")

# 3. Run your workflow on an image
workflow_spec = {
    "version": "1.0",
    "inputs": [{"type": "InferenceImage", "name": "image"}],
    "steps": [
        {
            "type": "roboflow_core/sam3@v1",
            "name": "sam",
            "images": "$inputs.image",
            "class_names": "red circle",
        },
        {
            "type": "roboflow_core/polygon_visualization@v1",
            "name": "polygon_visualization",
            "image": "$inputs.image",
            "predictions": "$steps.sam.predictions",
        },
    ],
    "outputs": [
        {
            "type": "JsonField",
            "name": "output",
            "coordinates_system": "own",
            "selector": "$steps.polygon_visualization.image",
        }
    ],
}

result = client.run_workflow(
    specification=workflow_spec,
    images={
        "image": image_url  # Path or url to your image file
    },
    use_cache=True,  # Speeds up repeated requests
)

# 4. Display the result
nparr = np.frombuffer(base64.b64decode(result[0]["output"]), np.uint8)
img = cv.imdecode(nparr, cv.IMREAD_COLOR)
cv.imwrite(f"{folder}/output.png", img)

SAM = workflow_spec["steps"][0]
FOUND = {"found": "$steps.sam.predictions"}


def make(steps, outputs, inputs=()):
    """A workflow of these steps."""
    named = [{"type": "JsonField", "name": n, "selector": s} for n, s in outputs.items()]
    return {
        **workflow_spec,
        "inputs": [*workflow_spec["inputs"], *inputs],
        "steps": steps,
        "outputs": named,
    }


def run(steps, outputs=FOUND, inputs=(), image=image_url, **options):
    """What the SDK gives for it."""
    return client.run_workflow(
        specification=make(steps, outputs, inputs), images={"image": image}, **options
    )


def sam(version="sam3@v1", **fields):
    """The step that segments."""
    return {**SAM, "type": f"roboflow_core/{version}", **fields}


def refuse(call):
    """The error that a user sees."""
    try:
        return {"answer": call()}
    except Exception as error:
        return {"error": f"{error}"}


BOTH = "red circle,blue square"
answers = {}
answers["comma list"] = run([sam(class_names=BOTH)])
answers["v2"] = run([sam("sam3@v2", class_names=BOTH.split(","), confidence=0.4)])
answers["v3 mapping"] = run(
    [sam("sam3@v3", class_names=BOTH.split(","), class_mapping={"red circle": "ball"})]
)
answers["points"] = run(
    [
        {
            "type": "roboflow_core/sam3_interactive@v1",
            "name": "sam",
            "images": "$inputs.image",
            "points": [{**point, "positive": True}],
        }
    ]
)
answers["points as input"] = run(
    [
        {
            "type": "roboflow_core/sam3_interactive@v1",
            "name": "sam",
            "images": "$inputs.image",
            "points": "$inputs.points",
        }
    ],
    inputs=[{"type": "WorkflowParameter", "name": "points", "kind": ["labeled_points"]}],
    parameters={"points": [{**point, "positive": True}]},
)
REFINE = {
    "type": "roboflow_core/sam3_interactive@v1",
    "name": "refine",
    "images": "$inputs.image",
    "boxes": "$steps.sam.predictions",
}
answers["boxes of a step"] = run(
    [sam(class_names=BOTH), REFINE], {"found": "$steps.refine.predictions"}
)
answers["batch"] = run([sam()], image=[image_url, img[:, ::-1].copy(), img])
answers["parameter"] = run(
    [sam(class_names="$inputs.words")],
    inputs=[{"type": "WorkflowParameter", "name": "words"}],
    parameters={"words": ["blue square"]},
)
CROP = {
    "type": "roboflow_core/dynamic_crop@v1",
    "name": "crop",
    "images": "$inputs.image",
    "predictions": "$steps.sam.predictions",
}
COUNT = {
    "type": "roboflow_core/property_definition@v1",
    "name": "count",
    "data": "$steps.sam.predictions",
    "operations": [{"type": "SequenceLength"}],
}
MASKS = {
    "type": "roboflow_core/mask_visualization@v1",
    "name": "masks",
    "image": "$inputs.image",
    "predictions": "$steps.sam.predictions",
}
LABELS = {
    "type": "roboflow_core/label_visualization@v1",
    "name": "labels",
    "image": "$steps.masks.image",
    "predictions": "$steps.sam.predictions",
}
answers["crops and counts"] = run(
    [sam(class_names=BOTH), CROP, COUNT, MASKS, LABELS],
    {
        "crops": "$steps.crop.crops",
        "count": "$steps.count.output",
        "image": "$steps.labels.image",
        "found": "$steps.sam.predictions",
    },
)
answers["segment the crops"] = run(
    [sam(), CROP, sam(name="again", images="$steps.crop.crops")],
    {"found": "$steps.again.predictions"},
)
answers["excluded"] = run(
    [sam(), COUNT], {**FOUND, "count": "$steps.count.output"}, excluded_fields=["found"]
)
answers["saved"] = client.run_workflow(
    workspace_name="me", workflow_id="circles", images={"image": image_url}
)
answers["saved, old route"] = client.infer_from_workflow(
    workspace_name="me", workflow_name="circles", images={"image": image_url}
)
answers["not saved"] = refuse(
    lambda: client.run_workflow(
        workspace_name="me", workflow_id="squares", images={"image": image_url}
    )
)
answers["missing file"] = refuse(lambda: run([sam()], image="/etc/hostname-not-there"))
answers["wrong reference"] = refuse(lambda: run([sam()], {"found": "$steps.nope.predictions"}))
answers["webhook"] = refuse(
    lambda: run(
        [
            sam(),
            {"type": "roboflow_core/webhook_sink@v1", "name": "w", "url": "http://127.0.0.1:1/"},
        ]
    )
)
sys.stdout.write(json.dumps(answers))
