"""The second Ikomia plugin, ``train_segment_anything_3``: fine-tuning in a workflow.

``make package PLUGIN=train`` builds it. The segmentation plugin never imports this folder: the
base class of Ikomia's training tasks starts an MLflow server that listens on every interface.
"""
