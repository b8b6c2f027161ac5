"""One attempt: a request goes out over server-sent events or a WebSocket; which one is decided by `ask`.

Retries, stop and limits on the whole are `stream`'s.
"""

from __future__ import annotations

from ..errors import HolystreamError, SetupError
from ..parts import Opening
from ..providers.select import offered_socket, responses_socket, socket_address
from .over_http import SSEAnswer, over_sse, posted
from .over_responses import over_responses
from .over_socket import SocketAnswer, on_kept_socket, opened, turn
from .request import Answer, Ears, Request, Service


async def ask(service: Service, request: Request, ears: Ears) -> Answer:
    """Sends a request; `ears` hear why it does not go as asked, and when it goes.

    Raises the errors of the wire, and ServiceError for a refusal.
    """
    if request.transport == "sse":
        return await over_sse(service, request, ears)
    if not request.body["stream"]:
        raise SetupError(
            'stream=False asks for the whole answer at once, which no socket carries: use transport="sse".'
        )
    if request.wire != "chat":
        return await _of_format(service, request, ears)
    own = socket_address(service.provider) if request.transport == "ws" else None
    place = own or service.base_url
    kept, resent = (None, 0) if request.is_again else await on_kept_socket(service, request, place, ears)
    if kept is not None:
        return kept
    if own is not None:
        socket = await opened(service, request, own, ears)
        return await turn(service, request, socket, place, resent)
    answer = await _negotiated(service, request, place, ears)
    answer.resent += resent
    return answer


async def _of_format(service: Service, request: Request, ears: Ears) -> Answer:
    """The turn on the format's own socket, which no service offers in an answer; else over server-sent events."""
    if request.transport == "ws":
        url = responses_socket(service.provider) if request.wire == "responses" else None
        if url is not None:
            return await over_responses(service, request, url, ears)
        ears.notify("no socket is offered: over SSE")
    return await over_sse(service, request, ears)


async def _negotiated(service: Service, request: Request, place: str, ears: Ears) -> Answer:
    """The turn on the socket that the service offers; where it offers none, the ordinary answer."""
    response = await posted(service, request, ears, offer=True)
    offered = response.headers.get("sec-websocket-url") or response.headers.get("upgrade-url")
    if not offered:
        if request.transport == "ws":
            ears.notify("no socket is offered: over SSE")
        return SSEAnswer(service, request, response)
    await response.finish()
    url = offered_socket(service.provider, offered)
    if url is None:
        ears.notify("the offered socket is on a host that is not the provider's: over SSE")
        return await over_sse(service, request, ears)
    try:
        socket = await opened(service, request, url, ears)
    except HolystreamError:
        ears.notify("the offered socket could not be opened: over SSE")
        return await over_sse(service, request, ears)
    # The turn that the POST asked for begins when its socket is opened.
    began = SocketAnswer(service, request, socket, place, permit=response.permit, is_first=True)
    offer = None if response.sent is None else response.headers_at - response.sent
    # The socket may be on the connection of the POST.
    began.opening = (response.opening or Opening()) + Opening(upgrade=offer) + (began.opening or Opening())
    return began
