"""Label Studio's machine learning backend protocol: pre-annotation and interactive prompts."""
