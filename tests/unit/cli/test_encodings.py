"""Terminals without Unicode: every text can be written, readable where possible."""

from __future__ import annotations

import io

import pytest

from cybercorp.cli.output.encodings import prepare_streams


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cpu · 5–10 %…", b"cpu - 5-10 %~"),
        ("● online ✖ offline", b"* online x offline"),
        ("├─ a └─ b", b"|- a `- b"),
        ("büro 東京", b"b\\xfcro \\u6771\\u4eac"),
    ],
)
def test_ascii_streams_get_near_characters_or_numbers(
    text: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own signs have a near one in ASCII; foreign letters become their number; nothing is ever raised."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    prepare_streams()
    stream.write(text)
    stream.flush()
    assert buffer.getvalue() == written
