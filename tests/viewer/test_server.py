"""The server lets in whoever started it, over real HTTP, and no one else."""

import http.client
import json
import signal
import socket
from threading import Thread

import pytest
from command_line import start
from view_cases import write_case

from zoo.viewer import Server, cases_of
from zoo.viewer.exhibit import Exhibit

pytest.importorskip("starlette", reason="starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("fast_simplification", reason="fast-simplification is not installed")


def get(url, path="/", *, host=None, method="GET", **headers):
    """Status, headers and body of one request, without a client's help: no redirect, no cookie."""
    address = url.split("/")[2]
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path, headers={"Host": host or address, **headers})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def token_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.fixture
def url(tmp_path):
    server = Server(*cases_of(list(write_case(tmp_path).values())))
    Thread(target=server.run, daemon=True).start()
    return server.url


@pytest.fixture
def cookie(url):
    status, headers, _ = get(url, token_of(url))
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"]
    return headers["Set-Cookie"].split(";")[0]


@pytest.mark.slow
def test_whoever_has_the_address_sees_the_case(url, cookie):
    status, headers, body = get(url, "/", Cookie=cookie)
    assert status == 200
    assert b"view.js" in body
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    facts = json.loads(get(url, "/0/facts.json", Cookie=cookie)[2])
    assert [shape["name"] for shape in facts["shapes"]] == ["input", "prediction", "implant"]
    for name in (*facts["volumes"], facts["shapes"][2]["surface"]):
        status, _, body = get(url, f"/0/{name}", Cookie=cookie)
        assert status == 200
        assert body.startswith(b"\x1f\x8b")


@pytest.mark.slow
def test_the_address_works_once(url, cookie):
    status, headers, _ = get(url, token_of(url))  # another user, who saw it in a list of processes
    assert status == 403
    assert "Set-Cookie" not in headers
    assert get(url, token_of(url), Cookie=cookie)[0] == 303  # the same one, who reloads it


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=%ff", "/0/facts.json"])
def test_without_token_or_cookie_nothing_is_shown(url, path):
    name = f"zoo-view-{url.split(':')[2].split('/')[0]}"
    for given in ({}, {"Cookie": f"{name}="}, {"Cookie": f"{name}=wrong"}):
        status, headers, body = get(url, path, **given)
        assert (status, headers.get("Set-Cookie")) == (403, None)
        assert b"zoo view" in body


@pytest.mark.slow
def test_other_names_for_this_machine_and_other_sites_are_refused(url, cookie):
    port = url.split(":")[2].split("/")[0]
    for host in ("attacker.example", f"attacker.example:{port}", f"localhost:{port}", "127.0.0.1"):
        assert get(url, "/0/facts.json", host=host, Cookie=cookie)[0] == 403
        assert get(url, token_of(url), host=host)[0] == 403
    for origin in ("http://attacker.example", "null", f"https://127.0.0.1:{port}"):
        assert get(url, "/0/facts.json", Cookie=cookie, Origin=origin)[0] == 403
    own = f"http://127.0.0.1:{port}"
    assert get(url, "/0/facts.json", Cookie=cookie, Origin=own)[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        *("/0/../../../etc/passwd", "/0/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "//etc/passwd"),
        *(
            "/../server.py",
            "/page.html",
            "/vendored.json",
            "/0/",
            "/1/facts.json",
            "/-1/facts.json",
        ),
        *("/0/facts.json%00", "/0/surface-9.mz3", "/99999999999999999999/facts.json"),
    ],
)
def test_files_have_numbers_and_names_and_no_paths(url, cookie, path):
    assert get(url, path, Cookie=cookie)[0] == 404


@pytest.mark.slow
def test_it_listens_on_this_machine_alone_and_takes_no_orders(url, cookie):
    port = int(url.split(":")[2].split("/")[0])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with socket.socket() as elsewhere:  # the same port of another address is free
        elsewhere.bind(("127.0.0.2", port))
    assert get(url, "/", method="POST", Cookie=cookie)[0] == 405


@pytest.mark.slow
def test_a_case_that_cannot_be_read_is_said_on_the_page(tmp_path):
    write_case(tmp_path)
    cases, _ = cases_of([tmp_path])
    (tmp_path / "implant.nii.gz").write_bytes(b"damaged")
    server = Server(cases)
    Thread(target=server.run, daemon=True).start()
    cookie = get(server.url, token_of(server.url))[1]["Set-Cookie"].split(";")[0]
    assert get(server.url, "/1/facts.json", Cookie=cookie)[0] == 200
    status, _, body = get(server.url, "/2/facts.json", Cookie=cookie)
    assert (status, b"implant.nii.gz: wanted a complete" in body) == (500, True)


@pytest.mark.slow
def test_the_command_prints_one_address_and_ends_with_ctrl_c(tmp_path):
    process = start("view", *write_case(tmp_path).values(), "--no-browser")
    url = process.stdout.readline().strip()
    assert get(url, token_of(url))[0] == 303
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(ConnectionRefusedError):
        get(url)


def test_everything_is_sent_if_it_is_wanted(tmp_path):
    case = cases_of(list(write_case(tmp_path).values()))[0][0]
    facts, whole = (
        json.loads(Exhibit(case, full=full).content("facts.json")) for full in (False, True)
    )
    assert "of 48 x 48 x 48 voxels of 3 x 3 x 3 mm" in facts["sent"]
    assert whole["sent"] == "48 x 48 x 48 voxels of 3 x 3 x 3 mm"
