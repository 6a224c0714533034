"""The routes: JSON in, JSON out, and a page to try it on."""

import asyncio
import base64
import hashlib
import re
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from recbole_mpo import __version__
from recbole_mpo.common.values import shown, suggestion
from recbole_mpo.release.serving import bodies
from recbole_mpo.release.serving.batching import Batcher
from recbole_mpo.release.serving.guard import Guard
from recbole_mpo.release.serving.limits import Limits, RequestError, check_length
from recbole_mpo.release.serving.measures import Measures
from recbole_mpo.release.serving.served_model import NewItems, Search, ServedModel

# Prometheus' text form.
MEASUREMENTS = "text/plain; version=0.0.4; charset=utf-8"
CODES = {404: "not_found", 405: "method_not_allowed"}


class Desk:
    """Passes questions to the models' threads.

    Args:
        models: the models; the first answers requests that name none.
        limits: sizes of queues and batches.
        measures: measures batches, queues and items.
    """

    def __init__(self, models: list[ServedModel], limits: Limits, measures: Measures):
        self.models = {model.name: model for model in models}
        self.default = models[0].name
        self.batchers, self.adders = {}, {}
        for name, model in self.models.items():
            notice = measures.batches.labels(name).observe
            self.batchers[name] = Batcher(model.answer, limits, name, notice)
            # Texts take long to encode; recommendations go on meanwhile.
            self.adders[name] = Batcher(model.answer, limits, f"{name}, additions")
            measures.watch(name, model, (self.batchers[name], self.adders[name]))

    async def ask(self, name: str | None, request):
        """Return a model's answer; its error is raised.

        Args:
            name: the model's name; None for the default.
            request: what its thread is asked.

        Raises:
            RequestError: the model does not exist, is too busy, or cannot answer.
        """
        batchers = self.adders if isinstance(request, NewItems) else self.batchers
        batcher = batchers.get(self.default if name is None else name)
        if batcher is None:
            hint = suggestion(name, self.models) or f"; there are {', '.join(self.models)}"
            raise RequestError(422, "unknown_model", f"unknown model {shown(name)}{hint}", "model")
        return await asyncio.wrap_future(batcher.submit(request))

    def close(self):
        """Answer what waits, and end the threads."""
        for name, model in self.models.items():
            self.batchers[name].close()
            self.adders[name].close()
            model.close()


def make_app(
    models: list[ServedModel],
    limits: Limits | None = None,
    api_key: str | None = None,
    is_local: bool = False,
    page: str | None = None,
) -> Guard:
    """Return the ASGI application of a server.

    Args:
        models: the models; the first is the default. They are used by the application's threads alone from now on.
        limits: the largest requests.
        api_key: key that requests must carry; None for none.
        is_local: whether the server answers this machine alone.
        page: HTML of the page at ``/``; by default the packaged one.
    """
    limits, measures = limits or Limits(), Measures()
    desk = Desk(models, limits, measures)
    app = _empty_app(desk)
    _add_questions(app, desk, limits)
    _add_state(app, desk, measures)
    _add_page(app, _packaged_page() if page is None else page)
    return Guard(app, {*app.openapi()["paths"], "/", "/openapi.json"}, measures, limits, api_key, is_local)


def _empty_app(desk: Desk) -> FastAPI:
    """Return an application without routes, which answers errors in one form and ends the models' threads."""

    @asynccontextmanager
    async def closing(_):
        yield
        await asyncio.to_thread(desk.close)

    return FastAPI(
        title="recbole_mpo",
        version=__version__,
        description="Recommendations of exported models.",
        lifespan=closing,
        # Both pages would load their scripts from another host.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"model": bodies.ErrorBody, "description": "What is wrong."}},
        exception_handlers={
            RequestError: _refused,
            RequestValidationError: _invalid,
            HTTPException: _no_route,
            Exception: _failed,
        },
    )


def _add_questions(app: FastAPI, desk: Desk, limits: Limits):
    @app.post("/recommend", response_model=bodies.Recommendations)
    async def recommend(body: bodies.RecommendBody):
        """Recommend items for a history, best first."""
        items = await desk.ask(body.model, body.as_wish(limits))
        return JSONResponse({"items": items, "model": body.model or desk.default})

    @app.post("/items", response_model=bodies.Added)
    async def add_items(body: bodies.ItemsBody):
        """Add items by their text; they are ranked at once, and kept when the server starts again."""
        return JSONResponse(await desk.ask(body.model, body.as_new_items(limits)))

    @app.get("/items", response_model=bodies.Items)
    async def search(
        query: Annotated[str, Query(description="Words of the title, or a token.")] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        model: Annotated[str | None, Query(description="Name of a model; the first by default.")] = None,
    ):
        """Search items by their titles."""
        check_length("query", query, limits.text_length, "characters")
        return JSONResponse({"items": await desk.ask(model, Search(query, limit))})


def _add_state(app: FastAPI, desk: Desk, measures: Measures):
    @app.get("/models", response_model=bodies.Models)
    async def models():
        """List the models."""
        rows = [
            {"name": name, "default": name == desk.default, "items": model.items, "added": model.added_items}
            for name, model in desk.models.items()
        ]
        return JSONResponse({"models": rows})

    @app.get("/health", response_model=bodies.Health)
    async def health():
        """Say that the server answers."""
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", response_class=Response)
    async def metrics():
        """Show measurements in Prometheus' text form."""
        return Response(measures.as_text(), headers={"Content-Type": MEASUREMENTS})


def _add_page(app: FastAPI, page: str):
    policy = {"Content-Security-Policy": _policy_of(page)}

    @app.get("/", include_in_schema=False)
    async def home():
        return HTMLResponse(page, headers=policy)


def _packaged_page() -> str:
    return resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def _policy_of(page: str) -> str:
    """Return a policy by which the browser runs the page's own scripts and styles, and asks this server alone."""
    allowed = {"script": [], "style": []}
    for kind, hashes in allowed.items():
        for content in re.findall(rf"<{kind}>(.*?)</{kind}>", page, flags=re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            hashes.append(f"'sha256-{digest}'")
    sources = "; ".join(f"{kind}-src {' '.join(hashes) or repr('none')}" for kind, hashes in allowed.items())
    others = "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; {sources}; {others}"


def _answer(problem: RequestError) -> JSONResponse:
    return JSONResponse(problem.content, problem.status, problem.headers)


async def _refused(_, problem: RequestError) -> JSONResponse:
    return _answer(problem)


async def _invalid(_, problem: RequestValidationError) -> JSONResponse:
    """Name the first place that is not as it should be."""
    first = problem.errors()[0]
    # Kinds of entries are no places.
    parts = [str(part) for part in first["loc"][1:] if not str(part).startswith("<")]
    field = ".".join(parts) or None
    message = first["msg"] if field is None else f"{_shortened(field)}: {first['msg']}"
    return _answer(RequestError(422, "invalid_request", message, field))


def _shortened(field: str) -> str:
    """Return a place in a body for a message; a client may have sent a name of any length."""
    return field if len(field) <= 100 else f"{field[:100]}…"


async def _no_route(request, problem: HTTPException) -> JSONResponse:
    path = shown(request.url.path)
    messages = {404: f"there is no {path}", 405: f"{path} does not answer {request.method}"}
    message = (
        f"{messages[problem.status_code]}; see /openapi.json" if problem.status_code in messages else problem.detail
    )
    code = CODES.get(problem.status_code, "invalid_request")
    return _answer(RequestError(problem.status_code, code, message, headers=dict(problem.headers or {})))


async def _failed(_, problem: Exception) -> JSONResponse:
    return _answer(RequestError(500, "internal", "the server failed; its log says why"))
