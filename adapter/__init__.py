"""Ikomia's side: parameters, graphics, prompts, outputs. Stands on the engine, without Qt."""
