"""The simulator's endpoints; every answer under /v1 has an `x-request-id` and a record."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .anthropic import COUNT, MESSAGES, Messages, TokenCount
from .chat import Chat
from .chunks import CREATED
from .gate import Gate, Settings, authorize
from .profiles import PROFILES
from .records import Record, Records
from .refusals import Refusal, error_object
from .responses import RESPONSES, Responses
from .responses_memory import Memory
from .sockets import SESSIONS, STREAM, Sockets

_CHAT = "/v1/chat/completions"
_UNSUPPORTED = tuple(
    f"/v1/{name}"
    for name in (
        *("embeddings", "completions", "images", "audio", "moderations", "files", "batches", "fine_tuning", "rerank"),
        *("realtime", "assistants", "threads", "vector_stores", "messages/batches"),
    )
)
"""What OpenAI's and Anthropic's APIs have and the simulator does not."""
_PAGE = """This is the HolyStream simulator: a stand-in for HolySheep on your own machine. No model answers here.

POST /v1/chat/completions   OpenAI's format, streamed or not; with agent_mode and Upgrade: websocket, a socket's address
POST /v1/responses          OpenAI's Responses, streamed or not
GET  /v1/responses          the same on a WebSocket
POST /v1/messages           Anthropic's Messages, streamed or not; /count_tokens counts a prompt
GET  /v1/chat/stream        a WebSocket
GET  /v1/models             {models}
GET  /health                200
GET  /sim/requests          the last requests: 100, or as many as `?most=` says
GET  /sim/requests/ID       the true times of one, ns of time.perf_counter_ns
GET  /sim/active            how many answers are running, and how many sockets are open
"""


class App:
    """The whole of it, as an ASGI application."""

    def __init__(self, settings: Settings) -> None:
        self.records = Records()
        self._settings = settings
        gate = Gate(settings)
        memory = Memory()
        sockets = Sockets(gate, self.records, memory)
        # a bare Router: Starlette's middleware would wrap every `send`
        self._router = Router(
            [
                Route("/", self._page),
                Route(_CHAT, Chat(gate, self.records, sockets), methods=["POST"]),
                Route(RESPONSES, Responses(gate, self.records, memory), methods=["POST"]),
                Route(RESPONSES, sockets, methods=["GET"]),
                Route(MESSAGES, Messages(gate, self.records), methods=["POST"]),
                Route(COUNT, TokenCount(gate, self.records), methods=["POST"]),
                Route(STREAM, sockets, methods=["GET"]),
                Route(SESSIONS + "{id}", sockets, methods=["GET"]),
                Route("/v1/models", self._models),
                Route("/v1/models/{model:path}", self._models),
                Route("/health", self._health),
                Route("/sim/requests", self._requests),
                Route("/sim/requests/{id}", self._request),
                Route("/sim/active", self._active),
            ],
            redirect_slashes=False,
            default=_nowhere,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self  # so that the router raises for a method that is not allowed, instead of answering itself
        if scope["path"].startswith("/v1"):
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1")
            has_key = not headers.keys().isdisjoint((b"authorization", b"x-api-key"))
            record = self.records.open(scope["method"], scope["path"], host, has_key)
            scope["state"]["record"] = record
            if not _records_itself(scope["method"], scope["path"]):
                send = _recorded(send, record)
        try:
            await self._router(scope, receive, send)
        except Refusal as refusal:
            await JSONResponse(refusal.error, refusal.status)(scope, receive, send)
        except HTTPException as exc:  # the router's own: a method that is not allowed
            await _nowhere(scope, receive, send, exc.status_code)

    async def _page(self, request: Request) -> Response:
        return PlainTextResponse(_PAGE.format(models=", ".join(PROFILES)))

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, request: Request) -> Response:
        authorize(request.headers.get("authorization", ""), self._settings.key)
        listed = [{"id": model, "object": "model", "created": CREATED, "owned_by": "simulator"} for model in PROFILES]
        wanted = request.path_params.get("model")
        if wanted is None:
            return JSONResponse({"object": "list", "data": listed})
        for model in listed:
            if model["id"] == wanted:
                return JSONResponse(model)
        raise Refusal(404, f"The model `{wanted}` does not exist.", param="model", code="model_not_found")

    async def _requests(self, request: Request) -> Response:
        most = request.query_params.get("most", "100")
        if not (most.isascii() and most.isdigit() and len(most) < 10):
            raise Refusal(400, f"`most` is a number of requests, not `{most}`.", param="most")
        return JSONResponse({"requests": [record.summary() for record in self.records.newest(int(most))]})

    async def _request(self, request: Request) -> Response:
        record = self.records.get(request.path_params["id"])
        if record is None:
            raise Refusal(404, f"There is no record of the request `{request.path_params['id']}` (any more).")
        return JSONResponse(record.full())

    async def _active(self, request: Request) -> Response:
        return JSONResponse({"active": len(self.records.active), "sockets": len(self.records.sockets)})


def _records_itself(method: str, path: str) -> bool:
    """Whether the endpoint of an address writes its record."""
    if method == "POST":
        return path in (_CHAT, RESPONSES, MESSAGES, COUNT)
    return method in ("GET", "HEAD") and (path in (STREAM, RESPONSES) or path.startswith(SESSIONS))


def _recorded(send: Send, record: Record) -> Send:
    """The same `send` for a small answer, with its request id added and its times recorded."""

    async def recorded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", record.id.encode())]
            record.head(message["status"])
        else:
            record.sent(("other",))
            record.ended("complete" if record.status == 200 else "refused")
        await send(message)

    return recorded


async def _nowhere(scope: Scope, receive: Receive, send: Send, status: int = 404) -> None:
    """OpenAI's answer to an address that does not exist."""
    if scope["type"] != "http":
        return
    method, path = scope["method"], scope["path"]
    if status == 404 and method == "POST" and path.startswith(_UNSUPPORTED):
        message = f"The simulator has no {path}: it answers chats only, as GET / says."
    else:
        message = f"Invalid URL ({method} {path})" if status == 404 else "Method not allowed."
    app: ASGIApp = JSONResponse(error_object(message, status), status)
    await app(scope, receive, send)
