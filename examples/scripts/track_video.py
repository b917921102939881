"""Follows objects through a video, saves the tracks and the video with them."""

from infer_segment_anything_3.engine import ConceptPrompt, Engine, track_video
from infer_segment_anything_3.examples import CLIP

engine = Engine.load("tiny_shapes")
prompt = ConceptPrompt(texts=("circle", "star"))

tracks = track_video(engine, CLIP, prompt, max_frames=12)
print(tracks)
for result in tracks:
    print(result.frame_index, [instance.track_id for instance in result.instances])
tracks.save("tracks.json")
tracks.save_video("tracks.mp4")
