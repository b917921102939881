"""The widget's parts: plain PyQt, generated from the table of parameters, without Ikomia."""
