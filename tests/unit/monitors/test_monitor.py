"""Names from the kernel as attributes."""

from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.monitor import attribute_text


@given(st.one_of(st.binary(max_size=600), st.text(max_size=600)))
def test_any_name_can_be_sent(raw: bytes | str) -> None:
    """Valid UTF-8 within the limit, whatever it was."""
    text = attribute_text(raw, 255)
    assert len(text.encode("utf-8").decode("utf-8")) <= 255


def test_names_that_differ_stay_different() -> None:
    """Also where they differ in bytes that are no UTF-8, or beyond the limit."""
    assert attribute_text(b"a\xff") != attribute_text(b"a\xfe")
    assert attribute_text("x" * 300 + "a") != attribute_text("x" * 300 + "b")
    assert attribute_text("a\udcff") == "a\\xff"
