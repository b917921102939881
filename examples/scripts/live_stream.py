"""Follows what is clicked on, frame by frame, as in a live stream."""

from infer_segment_anything_3.engine import Engine, ObjectPrompt, PromptedObject, VideoSession
from infer_segment_anything_3.engine.video_files import VideoReader
from infer_segment_anything_3.examples import CLIP

engine = Engine.load("tiny_shapes")
click = PromptedObject(points_xy=((300, 145),), class_name="star")
session = VideoSession(engine, ObjectPrompt((click,)))

for frame in VideoReader(CLIP):  # any iterable of (H, W, 3) uint8 RGB frames
    result = session.step(frame)
    for instance in result.instances:
        print(session.frame_index, instance.track_id, instance.box_xyxy)
    if session.frame_index == 10:
        break
