"""A panel on the screen: its widget, and under it the saved copy."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final

from ..client.options import ClientOptions
from ..errors import HolystreamError
from ..live.cells import Shown, cells
from ..live.marks import MARK
from ..live.saved import printable
from ..live.screen import current_shell
from ..session import session
from .catalogue import Picker
from .conversation import Conversation
from .markdown import NOTHING, Bundle, SavedCopy, turn_text
from .policy import Chat
from .thread import panels

if TYPE_CHECKING:
    from .widget import PanelView

NO_WIDGETS: Final = 'No widgets are drawn here: await panel.send("…"), and the answer is printed.'


class Display:
    """The outputs of one panel; belongs to the program's thread.

    It may be displayed several times: the same conversation in each place, and the same copy under it.
    is_kept: whether a panel of the same name would go on with the conversation.
    """

    def __init__(self, chat: Chat, *, options: ClientOptions, is_kept: bool) -> None:
        self._chat = chat
        self._options = options
        self._is_kept = is_kept
        self._view: PanelView | None = None
        self._copy: SavedCopy | None = None
        self._widgets: list[tuple[str, Shown]] = []
        self._copy_ids: list[str] = []
        self._shown: list[Bundle] = []
        self._cells: list[Context] = []
        self._appends = False
        self._printed: set[str] | None = None
        self._is_ours = True
        self._is_closed = False

    @property
    def widget(self) -> PanelView:
        if self._view is None:
            from .widget import PanelView  # late: it brings ipywidgets

            chat = self._chat
            view = self._view = PanelView(
                panels.call(lambda: chat.settings),
                is_kept=self._is_kept,
                closed=lambda: self._hand_over(chat.close),
            )
            view.on_msg(self._hear)
            panels.call(chat.attach, view)
            picker = Picker(session, lambda offers: chat.tell(catalogue=offers), self._options)
            chat.opened = lambda provider: panels.start(picker.open(provider))
            panels.start(_fill(picker, chat))
        return self._view

    def show(self, is_watched: bool) -> None:
        """Displays the panel; where nobody looks on, the copy alone."""
        from IPython.display import display

        if is_watched and not self._is_closed:
            widget = self.widget
            panels.call(self._chat.displayed)
            cells.begin()
            shown = cells.show(lambda: (shown.id,))
            shown.view, shown.panel, shown.text = widget.model_id, widget.panel, repr(widget)
            self._widgets.append((secrets.token_hex(16), shown))
            display(widget, display_id=self._widgets[-1][0], metadata={MARK: shown.mark})  # type: ignore[no-untyped-call]
            cells.tell(shown)
        self._copy = self._copy or SavedCopy(is_open=not is_watched)
        self._cells.append(copy_context())
        conversation = panels.call(lambda: self._chat.conversation)
        self._shown = self._copy.pieces(conversation, at_most=None if is_watched else 1)
        del self._copy_ids[len(self._shown) :]
        for number in range(len(self._shown)):
            self._display(number)

    def uncopied(self) -> PanelView:
        """The widget alone, for marimo, which keeps it with the notebook's outputs."""
        panels.call(self._chat.displayed, is_copied=False)
        return self.widget

    def prints(self) -> None:
        """From now on answers are printed, where no widget is drawn."""
        if self._printed is None:
            self._printed = {turn.id for turn in panels.call(lambda: self._chat.conversation).turns}

    def update(self, conversation: Conversation) -> None:
        """Brings the copy up to date, of which pieces that stay as they are are not drawn again; prints what is new."""
        if self._printed is not None:
            for turn in conversation.turns:
                if turn.id not in self._printed:
                    self._printed.add(turn.id)
                    print(turn_text(turn))
        if self._copy is None:
            return
        can_append = self._appends and len(self._cells) == 1 and _prints_into_its_cell()
        before = self._shown
        self._shown = self._copy.pieces(conversation, at_most=None if can_append else len(self._copy_ids))
        for number in range(max(len(self._shown), len(before))):
            if self._shown[number : number + 1] == before[number : number + 1]:
                continue
            if number < len(self._copy_ids):
                self._display(number, update=True)
            else:
                self._cells[0].copy().run(self._display, number)

    def _display(self, number: int, *, update: bool = False) -> None:
        """A piece of the copy; one that is needed no more is emptied."""
        from IPython.display import display, update_display

        data, metadata = self._shown[number] if number < len(self._shown) else NOTHING
        if number == len(self._copy_ids):
            self._copy_ids.append(secrets.token_hex(16))
        put = update_display if update else display
        put(data, raw=True, metadata=metadata, display_id=self._copy_ids[number])  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Takes the widget away, and puts a line in its place: a file with a closed widget shows an error there."""
        self._end(", closed.")

    def leave(self) -> None:
        """Another panel goes on with the conversation: this one's widget goes, and its copy stays as it is."""
        self._is_ours = False
        self._copy = None
        self._end(" goes on in another cell.")

    def _end(self, words: str) -> None:
        if self._view is not None and not self._is_closed:
            self._view.close()
            line = printable(f"Chat panel of {', '.join(self._view.models)}{words}")
            for display_id, shown in self._widgets:
                from IPython.display import update_display

                data, metadata = cells.end_of(shown, {"text/plain": line}, {})
                update_display(data, raw=True, metadata=metadata, display_id=display_id)  # type: ignore[no-untyped-call]
                cells.tell(shown)
        self._is_closed = True

    def _hear(self, _view: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("kind") == "ready":
            self._appends = bool(content.get("appends"))
        self._hand_over(self._chat.hear, content)

    def _hand_over(self, function: Callable[..., object], *arguments: Any) -> None:
        if self._is_ours:
            panels.hand_over(function, *arguments)


def _prints_into_its_cell() -> bool:
    """Whether what is displayed later comes to the cell whose context it is displayed in: since ipykernel 7."""
    publisher = getattr(current_shell(), "display_pub", None)
    return isinstance(getattr(publisher, "_parent_header", None), ContextVar)


async def _fill(picker: Picker, chat: Chat) -> None:
    """The picker's models: a provider may have hundreds, and a service takes its time, so they come a moment later."""
    try:
        await picker.fill(chat.settings.models)
    except HolystreamError as exc:
        chat.say(str(exc), "error")
