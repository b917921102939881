"""Connects the engine to Ikomia: parameters, graphics, prompts, outputs. Imports no Qt."""
