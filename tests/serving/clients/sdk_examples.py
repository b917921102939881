"""The SDK examples of Roboflow's SAM 3 page, with another host, image and words.

Run by the Python of ``inference-sdk``: ``sdk_examples.py API IMAGE_URL``. Prints JSON.
"""

import asyncio
import json
import sys

import numpy as np
from inference_sdk import InferenceConfiguration, InferenceHTTPClient

api, image_url, box_text, point_text = sys.argv[1:]
box, point = json.loads(box_text), json.loads(point_text)
answers = {}


def attempt(call):
    """What the call gives, or the error that a user sees."""
    try:
        return call()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


client = InferenceHTTPClient(api_url=api, api_key="<YOUR_ROBOFLOW_API_KEY>")

# Concept segmentation: text, exemplar boxes, or both per prompt
concepts = [
    {"type": "text", "text": "red circle"},
    {"type": "visual", "boxes": [box], "box_labels": [1]},
]
answers["concepts"] = client.sam3_concept_segment(
    inference_input=image_url, prompts=concepts, output_prob_thresh=0.5
)

# Interactive visual segmentation: points and/or a center-anchored box
answers["visual"] = client.sam3_visual_segment(
    inference_input=image_url,
    prompts=[{"points": [{**point, "positive": True}]}],
    multimask_output=False,
)

# The SDK's other calls and ways to send an image and a key
answers["embed"] = client.sam3_embed_image(inference_input=image_url, image_id="abc")
answers["rle with nms"] = client.sam3_concept_segment(
    image_url, prompts=concepts, format="rle", nms_iou_threshold=0.5
)
array = np.full((60, 80, 3), 128, np.uint8)
answers["array"] = client.sam3_concept_segment(array, prompts=[{"text": "star"}])
answers["list"] = client.sam3_concept_segment([array, array], prompts=[{"text": "star"}])
answers["async"] = asyncio.run(
    client.sam3_concept_segment_async(image_url, prompts=[{"text": "red circle"}])
)
answers["automatic"] = client.sam3_visual_segment(array)
answers["missing file"] = attempt(
    lambda: client.sam3_concept_segment("/nope.png", prompts=[{"text": "a"}])
)
answers["info"] = client.get_server_info().to_dict()
answers["models"] = client.list_loaded_models().to_dict()

for transport in ("header", "both"):
    other = InferenceHTTPClient(api_url=api, api_key="KEY")
    other.configure(InferenceConfiguration(api_key_transport=transport))
    answers[f"key in {transport}"] = other.sam3_concept_segment(array, prompts=[{"text": "star"}])
old = InferenceHTTPClient(api_url=api, api_key="KEY")
old.select_api_v0()
answers["v0"] = old.sam3_concept_segment(array, prompts=[{"text": "star"}])
nobody = InferenceHTTPClient(api_url=api)
answers["no key"] = nobody.sam3_concept_segment(array, prompts=[{"text": "star"}])
answers["workflow"] = attempt(
    lambda: client.run_workflow(specification={"version": "1.0"}, images={"image": array})
)
sys.stdout.write(json.dumps(answers))
