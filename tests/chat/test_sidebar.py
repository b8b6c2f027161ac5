"""What the panel in the sidebar sends of its notebook."""

from __future__ import annotations

from holystream_nb.chat.sidebar import LIMIT, context


def cell(source: str, outputs: str = "", type: str = "code") -> dict[str, str]:
    return {"type": type, "source": source, "outputs": outputs}


def test_cells_and_their_outputs_are_one_text_without_keys() -> None:
    """Each with its number and its type; what looks like a key is taken out."""
    text, left_out = context([cell("# Tides", type="markdown"), cell("key = 'sk-abcdefgh12345678'", "twice a day")])
    assert left_out == 0
    assert '<cell number="1" type="markdown">\n# Tides\n</cell>' in text
    assert "key = '…'\n<output>\ntwice a day\n</output>" in text
    assert context([]) == ("", 0)


def test_a_long_output_is_cut_in_the_middle_and_a_long_notebook_at_its_beginning() -> None:
    """The end is what is being worked on; what is left out is said."""
    text, _ = context([cell("x", f"begin {'-' * 5_000} end")])
    assert "begin" in text
    assert "[…]" in text
    assert "end\n</output>" in text
    text, left_out = context([cell(f"{number} = {'n ' * 5_000}") for number in range(20)])
    assert len(text) < LIMIT + 1_000
    assert left_out == 15
    assert "(The first 15 cells are left out" in text
    assert '<cell number="20"' in text
