"""Makes the FastAPI app: routes of every protocol around one model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from ..version import VERSION
from .bodies import BodyParser
from .description.routes import router as description_router
from .description.runs import DescriptionRuns
from .errors import install_error_handlers
from .heap import trim_heaps_periodically
from .info import router as info_router
from .label_studio.routes import router as label_studio_router
from .label_studio.storage import TaskImages
from .middleware import AccessLog, RequestGate
from .model import ServedModel
from .playground.routes import router as playground_router
from .playground.video import router as video_router
from .roboflow.routes import router as roboflow_router
from .roboflow.video import router as roboflow_video_router
from .roboflow.video_sessions import VideoSessions
from .service import SegmentationService
from .settings import Settings
from .video_runs import VideoRuns
from .workflows.routes import choose_router as choose_workflow_router
from .workflows.runs import WorkflowRuns


def create_app(served: ServedModel, settings: Settings) -> FastAPI:
    """Creates the app with all routes.

    Args:
        served: A loaded model: the port opens when it is ready.
        settings: The settings.

    Returns:
        The app, whose threads end with its lifespan.
    """
    service = SegmentationService(served.engine, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        trimming = asyncio.create_task(trim_heaps_periodically())
        yield
        trimming.cancel()
        app.state.description_runs.close()
        app.state.video_sessions.close()
        app.state.workflow_runs.close()
        service.close()
        app.state.body_parser.close()

    # The interactive pages of FastAPI load their scripts from a CDN: left out.
    app = FastAPI(title="SAM 3", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.served, app.state.service, app.state.settings = served, service, settings
    app.state.body_parser = BodyParser()
    app.state.task_images = TaskImages(service)
    app.state.description_runs = DescriptionRuns(settings)
    app.state.video_runs = VideoRuns(settings.max_videos)
    app.state.video_sessions = VideoSessions(app.state.video_runs)
    app.state.workflow_runs = WorkflowRuns(service)
    install_error_handlers(app)
    app.include_router(info_router)
    app.include_router(roboflow_router)
    app.include_router(description_router)
    app.include_router(roboflow_video_router)
    app.include_router(choose_workflow_router())
    app.include_router(label_studio_router)
    app.include_router(playground_router)
    app.include_router(video_router)
    # A request passes the middleware that was added last first.
    app.add_middleware(
        RequestGate,
        allowed_hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
        max_total_bytes=settings.max_total_body_bytes,
    )
    app.add_middleware(AccessLog)
    return app
