"""A task that detects what a test tells it to, in front of the plugin's."""

from __future__ import annotations

from ikomia import dataprocess


class Detector(dataprocess.CObjectDetectionTask):
    """Finds the boxes it was given."""

    found: tuple = ()

    def __init__(self):
        dataprocess.CObjectDetectionTask.__init__(self, "detector")

    def run(self):
        self.begin_task_run()
        names = list(dict.fromkeys(name for name, _, _ in self.found))
        colors = {name: color for name, color, _ in reversed(self.found)}
        if names:
            self.set_names(names)
            self.set_colors([list(colors[name]) for name in names])
        for index, (name, _, (x1, y1, x2, y2)) in enumerate(self.found):
            self.add_object(index, names.index(name), 0.9, *map(float, (x1, y1, x2 - x1, y2 - y1)))
        self.end_task_run()
