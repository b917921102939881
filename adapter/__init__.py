"""Between Ikomia and the engine: parameters, drawn prompts, images and outputs."""
