"""The REST reference as one readable page: made from the OpenAPI document, without a script or an outside asset."""

from __future__ import annotations

import base64
import hashlib
import html
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#0a7ea4}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:2rem 1.2rem}
h1{margin:0 0 .2rem}h2{margin:2.5rem 0 .5rem;text-transform:capitalize;border-bottom:1px solid var(--line)}
article{border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem;margin:1rem 0}
h3{margin:0;font:600 15px ui-monospace,monospace;overflow-wrap:anywhere}.m{color:var(--accent)}
p{margin:.4rem 0}table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-top:1px solid var(--soft);vertical-align:top}
code,pre{font:13px ui-monospace,monospace}
pre{background:var(--soft);padding:.5rem .7rem;border-radius:6px;overflow-x:auto}
nav a{margin-right:1rem}a{color:var(--accent)}small{opacity:.75}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
_METHODS = ("get", "post", "patch", "delete")


def render_reference(document: dict[str, Any]) -> str:
    """The page for an OpenAPI 3.1 document."""
    groups: dict[str, list[str]] = {}
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                tag = (operation.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append(_operation(document, path, method, operation))
    links = " ".join(f'<a href="#{_text(tag)}">{_text(tag)}</a>' for tag in groups)
    body = "".join(f'<h2 id="{_text(tag)}">{_text(tag)}</h2>{"".join(parts)}' for tag, parts in groups.items())
    info = document.get("info", {})
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_text(info.get('title'))}</title><style>{_STYLE}</style>"
        f"<h1>{_text(info.get('title'))} {_text(info.get('version'))}</h1><p>{_text(info.get('description'))}</p>"
        f'<nav>{links} <a href="/api/openapi.json">openapi.json</a></nav>{body}</html>'
    )


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{_text(one['name'])}</code></td><td><small>{_text(one.get('in'))}"
        f"{', required' if one.get('required') else ''}</small></td>"
        f"<td>{_text(_type(one.get('schema', {})))}</td><td>{_text(one.get('description'))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td><code>{_text(status)}</code></td><td>{_text(_answer_type(answer))}</td>"
        f"<td>{_text(answer.get('description'))}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    sent = _body_type(operation)
    data = " \\\n  -H 'Content-Type: application/json' -d '{…}'" if sent else ""
    curl = f'curl -X {method.upper()} -H "Authorization: Bearer $TOKEN"{data} \\\n  http://127.0.0.1:8765{path}'
    return (
        f'<article><h3><span class="m">{method.upper()}</span> {_text(path)}</h3>'
        f"<p><b>{_text(operation.get('summary'))}.</b> {_text(operation.get('description'))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + (f"<p>Body: <code>{_text(sent)}</code></p>" if sent else "")
        + f"<table>{answers}</table><pre>{_text(curl)}</pre></article>"
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "oneOf" in schema or "anyOf" in schema:
        kinds = [_type(one) for one in schema.get("oneOf") or schema.get("anyOf") or []]
        return " or ".join(kind for kind in kinds if kind != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("type", ""))


def _answer_type(answer: dict[str, Any]) -> str:
    content = answer.get("content") or {}
    return ", ".join(_type(one.get("schema", {})) for one in content.values())


def _body_type(operation: dict[str, Any]) -> str:
    content = (operation.get("requestBody") or {}).get("content") or {}
    return next((_type(one.get("schema", {})) for one in content.values()), "")


def _text(value: object) -> str:
    return html.escape(str(value if value is not None else ""))
