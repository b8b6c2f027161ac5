"""A panel on the screen: its widget, and under it the saved copy."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from ..client.options import ClientOptions
from ..errors import HolystreamError
from ..live.saved import printable
from ..session import session
from .catalogue import Picker
from .conversation import Conversation
from .markdown import SavedCopy, turn_text
from .policy import Chat
from .thread import panels

if TYPE_CHECKING:
    from .widget import PanelView

NO_WIDGETS: Final = 'No widgets are drawn here: await panel.send("…"), and the answer is printed.'


class Display:
    """The outputs of one panel; belongs to the program's thread.

    It may be displayed several times: the same conversation in each place, and the same copy under it.
    """

    def __init__(self, chat: Chat, *, options: ClientOptions) -> None:
        self._chat = chat
        self._options = options
        self._view: PanelView | None = None
        self._copy: SavedCopy | None = None
        self._widget_id = secrets.token_hex(16)
        self._copy_id = secrets.token_hex(16)
        self._shown: Conversation | None = None
        self._printed: set[str] | None = None
        self._is_watched = False
        self._is_closed = False

    @property
    def widget(self) -> PanelView:
        if self._view is None:
            from .widget import PanelView  # late: it brings ipywidgets

            chat = self._chat
            view = self._view = PanelView(
                panels.call(lambda: chat.settings),
                closed=lambda: panels.hand_over(chat.close),
            )
            view.on_msg(lambda _view, content, _buffers: panels.hand_over(chat.hear, content))
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
            display(widget, display_id=self._widget_id)  # type: ignore[no-untyped-call]
            self._is_watched = True
        self._copy = self._copy or SavedCopy(is_open=not is_watched)
        self._shown = panels.call(lambda: self._chat.conversation)
        data, metadata = self._copy.bundle(self._shown)
        display(data, raw=True, metadata=metadata, display_id=self._copy_id)  # type: ignore[no-untyped-call]

    def uncopied(self) -> PanelView:
        """The widget alone, for marimo, which keeps it with the notebook's outputs."""
        panels.call(self._chat.displayed, is_copied=False)
        return self.widget

    def prints(self) -> None:
        """From now on answers are printed, where no widget is drawn."""
        if self._printed is None:
            self._printed = {turn.id for turn in panels.call(lambda: self._chat.conversation).turns}

    def update(self, conversation: Conversation) -> None:
        """Brings the copy up to date; prints what is new."""
        if self._printed is not None:
            for turn in conversation.turns:
                if turn.id not in self._printed:
                    self._printed.add(turn.id)
                    print(turn_text(turn))
        if self._copy is None or conversation is self._shown:
            return
        from IPython.display import update_display

        self._shown = conversation
        data, metadata = self._copy.bundle(conversation)
        update_display(data, raw=True, metadata=metadata, display_id=self._copy_id)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Takes the widget away, and puts a line in its place: a file with a closed widget shows an error there."""
        if self._view is not None and not self._is_closed:
            self._view.close()
            if self._is_watched:
                from IPython.display import update_display

                data = {"text/plain": printable(f"Chat panel of {', '.join(self._view.models)}, closed.")}
                update_display(data, raw=True, display_id=self._widget_id)  # type: ignore[no-untyped-call]
        self._is_closed = True


async def _fill(picker: Picker, chat: Chat) -> None:
    """The picker's models: a provider may have hundreds, and a service takes its time, so they come a moment later."""
    try:
        await picker.fill(chat.settings.models)
    except HolystreamError as exc:
        chat.say(str(exc), "error")
