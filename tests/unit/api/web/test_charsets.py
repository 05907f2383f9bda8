"""Charsets that a client declares: none of them causes a server error."""

import encodings.aliases

import httpx
import pytest

from slipway_api.accounts.models import Role
from support.api import PASSWORD, RunningApi

UTF_8 = ["utf-8", "UTF-8", "utf8", "UTF_8", '"utf-8"', "us-ascii", "ASCII"]
ODD = ["", "undefined", "unicode_escape", "raw_unicode_escape", "unicode_internal", "idna", "punycode", "mbcs", "oem"]
ODD += ["no-such-charset", "x" * 10_000, '"a b"', "..", "os", "__init__", "utf-8;charset=utf-7", '"a\x00b"', '"\xff"']
CHARSETS = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), *ODD} - {"utf8", "ascii"})
KNOWN_AS_UTF_8 = {"utf_8", "us_ascii"}
BOUNDARIES = ["", "boundary=", 'boundary="a\x00b"', "boundary=" + "b" * 10_000, "boundary=other"]


def log_in(api: RunningApi, content_type: str, password: str = PASSWORD) -> httpx.Response:
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = part.format("username", "uma") + part.format("password", password) + "--b--\r\n"
    headers = {"Content-Type": content_type.encode("latin-1")}
    return api.post("/token", content=body.encode(), headers=headers)


def test_multipart_form_in_another_charset_is_rejected(api: RunningApi) -> None:
    answers = {
        charset: log_in(api, f"multipart/form-data; boundary=b; charset={charset}")
        for charset in CHARSETS
        if charset not in KNOWN_AS_UTF_8
    }

    assert {charset: answer.status_code for charset, answer in answers.items()} == dict.fromkeys(answers, 415)
    assert len(answers) > 300
    assert all(answer.json()["detail"].endswith("send it in UTF-8") for answer in answers.values())


@pytest.mark.parametrize("charset", UTF_8)
def test_multipart_form_in_utf_8_is_accepted(api: RunningApi, charset: str) -> None:
    assert log_in(api, f"multipart/form-data; boundary=b; charset={charset}").status_code == 200


@pytest.mark.parametrize("parameters", BOUNDARIES, ids=lambda given: repr(given)[:20])
def test_multipart_form_without_its_boundary_is_rejected(api: RunningApi, parameters: str) -> None:
    assert log_in(api, f"multipart/form-data; {parameters}").status_code == 422


@pytest.mark.parametrize(
    ("path", "media_type", "body", "status"),
    [
        ("/token", "application/x-www-form-urlencoded", b"username=uma", 422),
        ("/users", "application/json", b"{}", 422),
        ("/predict", "application/json", b'{"features": [1, 2, 3, 4]}', 200),
        ("/v2/models/iris/infer", "application/json", b"{}", 422),
        ("/invocations", "text/csv", b"1,2,3,4", 200),
    ],
)
def test_charset_of_any_other_body_is_ignored(
    api: RunningApi, path: str, media_type: str, body: bytes, status: int
) -> None:
    answers = {
        charset: api.post(
            path,
            role=Role.ADMIN,
            content=body,
            headers={"Content-Type": f"{media_type}; charset={charset}".encode("latin-1")},
        ).status_code
        for charset in ("utf-8", *ODD, "rot13", "zip", "hex", "utf-7", "utf-16")
    }

    assert set(answers.values()) == {status}, answers
