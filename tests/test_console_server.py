"""The server of the console without a browser: who may connect, what may be sent, who is in control, slow readers."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from console.hub import MALFORMED, MOST, SILENT
from console.protocol import LARGEST
from console.server import ConsoleServer
from policy.errors import InputError
from tests.console_rig import LONG, TAUGHT, Browser, Remembering, serving, until

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def robot() -> Remembering:
    return Remembering()


@pytest.fixture
def server(robot: Remembering) -> Iterator[ConsoleServer]:
    with serving(robot) as made:
        yield made


def get(server: ConsoleServer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of a request whose path is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=LONG)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def failing() -> str:
    """What a back end's commands are where its middleware is gone."""
    raise RuntimeError("the context is gone")


# -- who may connect


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", None, "file://"])
def test_a_page_of_another_site_cannot_connect(server: ConsoleServer, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Browser(server, origin=origin)
    assert refused.value.response.status_code == 403


def test_a_name_that_is_made_to_lead_here_is_not_answered_to(server: ConsoleServer) -> None:
    """DNS rebinding: both Host and Origin are those of the other site."""
    address = urlsplit(server.url)
    assert get(server, "/", Host=f"evil.example:{address.port}")[0] == 421
    assert get(server, "/", Host=f"localhost:{address.port}")[0] == 200
    with socket.create_connection((address.hostname, address.port), LONG) as plain:
        plain.sendall(
            f"GET /live HTTP/1.1\r\nHost: evil.example:{address.port}\r\nOrigin: http://evil.example:{address.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert plain.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("path", ["/live", "/", "/instruct", "/stop", "/console.js"])
def test_requests_change_nothing(server: ConsoleServer, robot: Remembering, path: str) -> None:
    status, _ = get(server, path, "POST", Origin="http://evil.example")
    assert status in (404, 405) and not robot.asked


def test_the_token_is_asked_for(robot: Remembering) -> None:
    with serving(robot, token=TOKEN) as server:
        assert server.url.endswith(f"/#{TOKEN}")
        for wrong in ("", "0123456789abcdef-secreT", "\u00fc"):
            assert Browser(server, wrong).closed() == (4401, "the token is wrong")
        right = Browser(server, TOKEN)
        right.until(lambda: right.hello, "it is let in")
    with serving(robot, token="gr\u00f6\u00dferes geheimnis") as server:
        assert server.url.endswith("/#gr%C3%B6%C3%9Feres%20geheimnis"), "as a browser gives it back"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "robot.example"])
def test_no_other_address_without_a_token(robot: Remembering, host: str) -> None:
    with pytest.raises(InputError, match="--token"):
        ConsoleServer(robot, host, 0)
    with pytest.raises(InputError, match="at least 16"):
        ConsoleServer(robot, host, 0, token="short")


def test_a_port_that_is_taken_is_an_error(server: ConsoleServer, robot: Remembering) -> None:
    with pytest.raises(InputError, match="--port"):
        ConsoleServer(robot, port=urlsplit(server.url).port or 0)


@pytest.mark.parametrize(
    "path",
    [
        "/../setup.py",
        "/..%2fserver.py",
        "/%2e%2e/server.py",
        "/static/../server.py",
        "/....//server.py",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/server.py",
        "/index.html%00.js",
        "/..\\server.py",
    ],
)
def test_no_path_leads_out_of_the_page_s_files(server: ConsoleServer, path: str) -> None:
    assert get(server, path)[0] == 404


def test_the_page_loads_nothing_from_elsewhere_and_its_answers_say_so(server: ConsoleServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=LONG)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert "default-src 'none'" in str(response.headers["content-security-policy"])
    assert response.headers["x-content-type-options"] == "nosniff"
    assert b"http" not in response.read()
    connection.close()
    for name, kind in (("console.js", b"import"), ("uplot.min.js", b"uPlot"), ("console.css", b":root")):
        status, body = get(server, f"/{name}")
        assert status == 200 and kind in body and b"//cdn" not in body


# -- what may be sent


def test_a_message_that_is_too_large_ends_the_connection(server: ConsoleServer, robot: Remembering) -> None:
    browser = Browser(server)
    browser.socket.send(json.dumps({"type": "instruct", "id": 1, "text": "x" * LARGEST}))
    assert browser.closed()[0] == 1009
    assert not robot.asked


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[" * 4000,
        "null",
        "[]",
        '"stop"',
        '{"type": 1}',
        '{"type": "dance"}',
        '{"type": "instruct", "id": 1}',
        '{"type": "instruct", "id": 1, "text": 7}',
        '{"type": "instruct", "id": true, "text": "open"}',
        '{"type": "instruct", "id": 1, "text": "open", "more": 1}',
        '{"type": "seen", "number": NaN}',
        '{"type": "scene", "id": 1, "world": "", "seed": 1.5, "task": "", "latency_ms": 0, "schedule": 1, "shift": ""}',
        b"\x00\x01",
    ],
)
def test_a_malformed_message_is_named_and_does_nothing(
    server: ConsoleServer, robot: Remembering, message: str | bytes
) -> None:
    browser = Browser(server)
    browser.socket.send(message)
    reply = browser.until(lambda: browser.replies.get(0), "it is answered")
    assert not reply["ok"] and ("expected" in reply["message"] or "Valid:" in reply["message"])
    assert browser.ask("stop")["ok"] and robot.asked == ["stop"]


def test_who_sends_many_malformed_messages_is_cut_off(server: ConsoleServer) -> None:
    browser = Browser(server)
    for _ in range(MALFORMED):
        browser.socket.send("nonsense")
    assert browser.closed()[0] == 4400


def test_a_name_is_short_and_can_be_shown(server: ConsoleServer) -> None:
    browser = Browser(server)
    browser.until(lambda: browser.people, "it is there")
    for wrong in ("", "x" * 41, "a\nb", "\x1b[31m"):
        browser.replies.clear()
        browser.send("name", name=wrong)
        browser.until(lambda: 0 in browser.replies, "it is refused")
        assert not browser.replies[0]["ok"]
    browser.send("name", name="Anna")
    browser.until(lambda: browser.people["names"] == ["Anna"], "it is taken")


# -- who is in control


def test_one_browser_is_in_control_and_all_see_which(server: ConsoleServer, robot: Remembering) -> None:
    first, second = Browser(server), Browser(server)
    assert first.ask("instruct", text="open the drawer")["ok"]
    refused = second.ask("instruct", text="turn on the lamp")
    assert not refused["ok"] and "take control" in refused["message"]
    assert robot.asked == ["open the drawer"]
    second.send("take")
    second.until(lambda: second.people["control"]["number"] == second.hello["you"], "the second is in control")
    first.until(lambda: first.people["control"]["number"] == second.hello["you"], "the first sees it")
    assert not first.ask("stop")["ok"] and second.ask("stop")["ok"]
    second.send("release")
    first.until(lambda: first.people["control"] is None, "nobody is in control")
    assert not first.ask("reset")["ok"] and robot.asked == ["open the drawer", "stop"]


def test_everybody_may_press_the_emergency_stop(server: ConsoleServer, robot: Remembering) -> None:
    Browser(server)
    watching = Browser(server)
    assert watching.ask("emergency_stop")["ok"] and robot.asked == ["emergency_stop"]


def test_an_emergency_stop_waits_for_no_other_command(server: ConsoleServer, robot: Remembering) -> None:
    go = threading.Event()
    robot.commands["reset"] = lambda: str(go.wait(LONG))
    browser = Browser(server)
    for number in range(20):  # as many as may wait, and more
        browser.send("reset", id=100 + number)
    browser.send("emergency_stop", id=1)
    browser.until(lambda: browser.replies.get(1), "it is answered first")
    assert 100 not in browser.replies
    go.set()


@pytest.mark.parametrize("command", ["emergency_stop", "stop", "reset", "continue"])
def test_a_command_that_fails_is_answered_whatever_it_raises(
    server: ConsoleServer, robot: Remembering, command: str
) -> None:
    """As what rclpy raises of a node that is ending; who pressed the emergency stop must not wait for it."""
    robot.commands[command] = failing
    browser = Browser(server)
    reply = browser.ask(command)
    assert not reply["ok"] and f"{command} failed (RuntimeError: the context is gone)" in reply["message"]
    assert "the robot's own emergency stop" in reply["message"]
    assert browser.ask("instruct", text="open the drawer")["ok"]


def test_a_stop_that_fails_at_a_lost_connection_is_said(robot: Remembering) -> None:
    robot.commands["stop"] = failing
    with serving(robot, stop_on_disconnect=True) as server:
        first, second = Browser(server), Browser(server)
        second.until(lambda: second.hello, "both are there")
        first.socket.socket.close()
        second.until(lambda: any("the arm could not be stopped: stop failed" in line for line in second.log), "said")


def test_a_reset_from_before_an_emergency_stop_does_not_end_it(server: ConsoleServer, robot: Remembering) -> None:
    begun, go, browser = threading.Event(), threading.Event(), Browser(server)
    robot.commands["reset"] = lambda: begun.set() or (go.wait(LONG) and robot._take("reset"))
    browser.send("reset", id=1)
    assert begun.wait(LONG) and "is under way" in browser.ask("reset")["message"]
    assert browser.ask("stop")["ok"] and browser.ask("emergency_stop")["ok"]
    go.set()
    browser.until(lambda: "an emergency stop came after" in browser.replies.get(1, {}).get("message", ""), "it is said")
    assert robot.asked == ["stop", "emergency_stop", "reset", "emergency_stop"]
    assert browser.ask("reset")["ok"]


def test_a_lost_connection_moves_nothing(server: ConsoleServer, robot: Remembering) -> None:
    first, second = Browser(server), Browser(server)
    second.until(lambda: second.hello, "both are there")
    first.ask("instruct", text="open the drawer")
    first.socket.socket.close()  # without a farewell
    second.until(lambda: second.people.get("control", 0) is None, "the control is free")
    assert robot.asked == ["open the drawer"]
    assert any("is lost" in line for line in second.log)


def test_a_lost_connection_stops_the_arm_where_that_is_wanted(robot: Remembering) -> None:
    with serving(robot, stop_on_disconnect=True) as server:
        first, second = Browser(server), Browser(server)
        second.until(lambda: second.hello, "both are there")
        second.socket.close()  # who only watches may go
        first.until(lambda: len(first.people.get("names", [])) == 1, "the second has gone")
        assert robot.asked == [] and first.hello["stops"]
        first.socket.socket.close()
        until(lambda: robot.asked == ["stop"], "the arm is stopped")


def test_a_browser_that_falls_silent_is_lost(robot: Remembering) -> None:
    """As when its network is gone: no farewell comes, and what it was sent is never answered."""
    with serving(robot, stop_on_disconnect=True) as server:
        began = time.monotonic()
        browser = Browser(server)
        browser.answers = False
        while robot.asked != ["stop"]:
            robot.tick()
            time.sleep(0.02)
            assert time.monotonic() - began < LONG, "the arm is stopped"
        assert time.monotonic() - began >= SILENT


# -- what is sent


def test_states_and_pictures_reach_everybody(server: ConsoleServer, robot: Remembering) -> None:
    browsers = [Browser(server) for _ in range(3)]
    for browser in browsers:
        browser.until(lambda b=browser: b.hello, "it is there")
    robot.tick(instruction="open the drawer", contact=0.25, mode="forward")
    for browser in browsers:
        browser.until(lambda b=browser: b.state and min(b.pictures) > 0, "it sees the state and both cameras")
        state = browser.state
        assert state["instruction"] == "open the drawer" and state["contact"] == 0.25
        assert state["executed"] == [0.0, None] and state["planned"]["values"] == [[0.0, 1.0], [0.1, None]]


def test_a_refusal_names_the_sentences_that_are_near(server: ConsoleServer, robot: Remembering) -> None:
    browser = Browser(server)
    assert not browser.ask("instruct", text="juggle")["ok"]
    robot.tick(refused=f"unknown instruction 'juggle': the nearest are {TAUGHT[1]!r}; use words like these")
    browser.until(lambda: browser.state.get("refused"), "it is refused")
    assert browser.state["near"] == [TAUGHT[1]]
    browser.until(lambda: any("juggle" in line for line in browser.log), "it is in the log")


def test_who_comes_later_sees_what_was_before(server: ConsoleServer, robot: Remembering) -> None:
    first = Browser(server)
    for step in range(10):
        robot.tick(serves="open the drawer", faults=("camera front is frozen",) if step > 5 else ())
        first.until(lambda: first.state.get("time", 0) >= robot.time - 1e-6, "each state is seen")
    later = Browser(server)
    later.until(lambda: later.hello, "it is there")
    assert [row[1] for row in later.hello["course"]] == ["open the drawer"] * 5  # one in 0.1 s
    assert [line["text"] for line in later.hello["log"]] == ["does: open the drawer", "camera front is frozen"]


def test_a_slow_browser_skips_and_the_server_keeps_nothing_for_it(
    server: ConsoleServer, robot: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.hub.SILENT", LONG)  # it is slow, and not lost
    slow, quick = Browser(server), Browser(server)
    slow.until(lambda: slow.hello, "it is there")
    quick.until(lambda: quick.hello, "it is there")
    robot.tick()
    slow.until(lambda: slow.state, "it sees the first")
    slow.answers, first = False, slow.state["number"]
    for _ in range(30):
        robot.tick()
        quick.until(lambda: quick.state.get("time", 0) >= robot.time - 1e-6, "the quick one sees each state")
    slow.send("seen", number=first + 3)  # it has shown three more
    slow.until(lambda: slow.state.get("time", 0) >= robot.time - 1e-6, "the slow one sees the newest")
    assert slow.states < 15 and quick.states >= 30


def test_fifty_browsers_watch_and_one_more_does_not(server: ConsoleServer, robot: Remembering) -> None:
    browsers = [Browser(server) for _ in range(MOST)]
    assert Browser(server).closed()[0] == 4429
    robot.tick()
    for browser in browsers:
        browser.until(lambda b=browser: b.state and min(b.pictures) > 0, "it sees everything")
    assert browsers[0].ask("stop")["ok"] and not browsers[-1].ask("stop")["ok"]
    browsers[-1].socket.close()
    browsers[0].until(lambda: len(browsers[0].people["names"]) == MOST - 1, "one has gone")
    again = Browser(server)
    again.until(lambda: again.hello, "there is room again")


def test_nothing_is_rendered_while_nobody_watches(server: ConsoleServer, robot: Remembering) -> None:
    assert not robot.feed.watched
    browser = Browser(server)
    browser.until(lambda: browser.hello, "it is there")
    assert robot.feed.watched
    browser.socket.close()
    until(lambda: not robot.feed.watched, "nobody watches")


def test_silence_of_the_robot_is_seen(server: ConsoleServer, robot: Remembering) -> None:
    browser = Browser(server)
    robot.tick()
    browser.until(lambda: browser.state.get("age", 0) > 1.0, "its age grows")
