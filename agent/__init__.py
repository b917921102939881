"""Finds what a description means in an image, through any multimodal language model."""

from .chat import Answer, Chat, Message
from .completions import EndpointError
from .endpoint import ChatEndpoint, read_endpoint
from .loop import find_described
from .results import AgentLimits, AgentResult, Step
from .segmenter import EngineSegmenter

__all__ = [
    "AgentLimits",
    "AgentResult",
    "Answer",
    "Chat",
    "ChatEndpoint",
    "EndpointError",
    "EngineSegmenter",
    "Message",
    "Step",
    "find_described",
    "read_endpoint",
]
