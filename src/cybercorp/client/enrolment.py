"""Join with an enrolment token by the standard library alone: a running agent must not carry httpx."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import msgspec

from cybercorp.client.addresses import check_url, unreachable
from cybercorp.client.calls import REQUEST_HEADERS, read_answer
from cybercorp.client.trust import is_verification, make_context, untrusted_certificate
from cybercorp.protocol.agents import EnrolAnswer, EnrolRequest
from cybercorp.security.credentials import Credential

_PATH = "/api/v1/agents/enrol"
_MAX_ANSWER_BYTES = 256 * 1024


def enrol(credential: Credential, request: EnrolRequest, *, timeout_s: float = 10.0) -> EnrolAnswer:
    """What `AsyncAgents.enrol` does, blocking; the same answers and errors. The token is one for enrolment."""
    base = check_url(credential.url)
    parts = urlsplit(base)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    context = make_context(credential)
    if context is not None:
        connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    headers = {**REQUEST_HEADERS, "Authorization": f"Bearer {credential.token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{parts.path}{_PATH}", msgspec.json.encode(request), headers)
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        if is_verification(error):
            raise untrusted_certificate(credential) from error
        raise unreachable(base, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    return read_answer(answer.status, _lower(answer), body, EnrolAnswer, url=base)


def _lower(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}
