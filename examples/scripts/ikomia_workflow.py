"""Runs the plugin in an Ikomia workflow and reads its outputs."""

from ikomia.dataprocess.workflow import Workflow

from infer_segment_anything_3.examples import SCENE

wf = Workflow()
algo = wf.add_task(name="infer_segment_anything_3", auto_connect=True)
algo.set_parameters({"model_name": "tiny_shapes", "input_text": "circle, dog"})
wf.run_on(path=str(SCENE))

for instance in algo.get_output(2).get_objects():
    print(instance.label, instance.confidence, instance.box)
for note in algo.get_output(3).data["info"]["notes"]:
    print("note:", note)
overlay = algo.get_image_with_mask()  # (H, W, 3) uint8, RGB
print(overlay.shape)
