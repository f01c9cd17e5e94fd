"""All browsers of one robot: what is new goes to each, what the one in control asks for goes to the robot.

    Feed --- run() ---> encoded once ---> Client.show
    browser --- serve() ---> Control ---> Backend.commands, in threads

A slow browser skips, and costs no memory. A stop waits for no other command, and a reset that was asked for before an
emergency stop does not end it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from console import messages
from console.backend import Backend, State
from console.client import Client
from console.control import Control
from console.journal import Journal, Line
from console.pictures import jpeg
from console.protocol import LARGEST, NUMBERED, Message, parse, person
from policy.errors import InputError

LOG = logging.getLogger("midstream.console")
MOST = 50  # browsers
MALFORMED = 10  # messages until a connection is closed
SILENT = 3.0  # s: a browser answers each state, so one that is silent for so long is lost
QUIET = 0.5  # s until the newest state is sent again
AT_WORK = 8  # commands of one browser that may wait for their replies
FULL, WRONG_TOKEN, BAD_MESSAGES = 4429, 4401, 4400  # codes of a closed connection


class Hub:
    """Lives in the server's event loop; with `stop_on_disconnect` the arm is held when the one in control is lost."""

    def __init__(self, backend: Backend, stop_on_disconnect: bool) -> None:
        self._backend, self._stops = backend, stop_on_disconnect
        self._description = backend.description()
        self._cameras = list(self._description["cameras"])
        self._taught = [str(one["text"]) for one in self._description["sentences"]]
        self._clients: dict[int, Client] = {}
        self._numbers = 0  # of browsers so far
        self._control = Control()
        self._journal = Journal()
        self._state, self._number, self._at = State(0.0, holding="nothing heard of the robot yet"), 0, monotonic()
        self._emergencies, self._resetting = 0, False  # emergency stops so far; whether a reset is under way
        self._urgent, self._others = ThreadPoolExecutor(4, "urgent"), ThreadPoolExecutor(4, "commands")
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hand on what the robot publishes, until cancelled."""
        loop, news, feed = asyncio.get_running_loop(), asyncio.Event(), self._backend.feed

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended, and the robot goes on
                loop.call_soon_threadsafe(news.set)

        feed.wake = wake
        try:
            while True:
                try:
                    async with asyncio.timeout(QUIET):
                        await news.wait()
                except TimeoutError:
                    self._show_state(self._state)
                news.clear()
                state, pictures = feed.take()
                if state is not None:
                    self._at = monotonic()
                    self._tell(self._journal.look(state))
                    self._show_state(state)
                for camera, picture in pictures.items():
                    self._show_picture(camera, picture)
        finally:
            feed.wake = lambda: None
            self._urgent.shutdown(wait=False)
            self._others.shutdown(wait=False)

    async def serve(self, socket: WebSocket, admitted: bool) -> None:
        """One browser, from its connection to its end."""
        await socket.accept()
        if not admitted or len(self._clients) >= MOST:
            code, why = (FULL, f"{MOST} browsers watch already") if admitted else (WRONG_TOKEN, "the token is wrong")
            return await socket.close(code, why)
        self._numbers += 1
        client = self._clients[self._numbers] = Client(self._numbers, socket)
        self._backend.feed.watched = True
        self._control.join(client.number)
        client.say(
            messages.text(
                "hello",
                you=client.number,
                **self._description,
                stops=self._stops,
                commands=sorted(self._backend.commands),
                **self._journal.all(),
            )
        )
        self._show_people()
        sending = asyncio.create_task(client.send())
        try:
            await self._receive(client)
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            sending.cancel()
            del self._clients[client.number]
            self._backend.feed.watched = bool(self._clients)
            self._leave(client)
            await asyncio.gather(sending, return_exceptions=True)  # it fails where the connection does

    # -- from browsers

    async def _receive(self, client: Client) -> None:
        at_work = 0

        def done(_: Any) -> None:
            nonlocal at_work
            at_work -= 1

        while client.socket.client_state == WebSocketState.CONNECTED:
            async with asyncio.timeout(SILENT):
                received = await client.socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                message = parse(_text(received))
            except InputError as error:
                client.malformed += 1
                client.say(messages.text("reply", id=0, ok=False, message=str(error)))
                if client.malformed >= MALFORMED:
                    return await client.socket.close(BAD_MESSAGES, f"{MALFORMED} messages that cannot be read")
                continue
            if message.type == "seen":
                client.seen(message.fields["number"])
            elif at_work >= AT_WORK and message.type != "emergency_stop":
                why = f"{AT_WORK} commands of yours wait for an answer; wait for them"
                client.say(messages.text("reply", id=message.id, ok=False, message=why))
            else:
                at_work += 1
                self._start(self._answer(client, message)).add_done_callback(done)

    async def _answer(self, client: Client, message: Message) -> None:
        """Do what is asked, and say how it went."""
        try:
            said = await self._perform(client, message)
            reply = messages.text("reply", id=message.id, ok=True, message=said)
        except Exception as error:  # whoever asked is told, whatever a robot's middleware raises
            reply = messages.text("reply", id=message.id, ok=False, message=_why(message.type, error))
        client.say(reply)

    async def _perform(self, client: Client, message: Message) -> str:
        if message.type == "name":
            client.name = person(message.fields["name"])
        elif message.type == "take":
            before = self._clients.get(self._control.take(client.number) or 0)
            if before is not client:
                self._log("info", f"{client.name} takes control" + (f" from {before.name}" if before else ""))
        elif message.type == "release":
            self._control.release(client.number)
            self._log("info", f"{client.name} gives control back")
        if message.type not in NUMBERED:
            self._show_people()
            return ""
        if message.type != "emergency_stop":  # which everybody may press
            self._control.require(client.number)
        command = self._backend.commands.get(message.type)
        if command is None:
            raise InputError(f"this robot has no command {message.type!r}")
        if message.type == "emergency_stop":
            self._emergencies += 1
        if message.type == "reset":
            said = await self._reset(command)
        else:
            said = await self._run_command(message.type, lambda: command(**message.fields))
        if message.type not in ("instruct", "move"):  # the journal has one from the robot, and nobody reads the other
            self._log("warn" if "stop" in message.type else "info", f"{client.name}: {said}")
        return said

    async def _reset(self, command: Callable[[], str]) -> str:
        """One at a time; `InputError`, and the arm stays, where somebody has stopped it since this was asked for."""
        if self._resetting:
            raise InputError("a reset is under way; wait for it")
        before, came = self._emergencies, "an emergency stop came after this reset, and stays: reset again"

        def reset() -> str:
            if self._emergencies != before:
                raise InputError(came)
            return command()

        self._resetting = True
        try:
            said = await self._run_command("reset", reset)
        finally:
            self._resetting = False
        if self._emergencies != before:  # the two have crossed
            await self._run_command("emergency_stop", self._backend.commands["emergency_stop"])
            raise InputError(came)
        return said

    async def _run_command(self, kind: str, command: Callable[[], str]) -> str:
        pool = self._urgent if kind in ("emergency_stop", "stop") else self._others
        return await asyncio.get_running_loop().run_in_executor(pool, command)

    def _leave(self, client: Client) -> None:
        """A connection is lost, or closed: what is under way goes on, unless it is to be stopped."""
        if self._control.leave(client.number):
            self._log("warn", f"the connection of {client.name}, in control, is lost")
            if self._stops:
                self._start(self._stop(client.name))
        self._show_people()

    async def _stop(self, name: str) -> None:
        try:
            await self._run_command("emergency_stop", self._backend.commands["stop"])
            self._log("warn", f"the arm is stopped, as {name} is lost")
        except Exception as error:
            self._log("error", f"the arm could not be stopped: {_why('stop', error)}")

    # -- to browsers

    def _show_state(self, state: State) -> None:
        self._state, self._number = state, self._number + 1
        if not self._clients:
            return
        near = [sentence for sentence in self._taught if repr(sentence) in state.refused] if state.refused else []
        text = messages.state(state, self._number, monotonic() - self._at, near)
        for client in self._clients.values():
            client.show("state", text, self._number)

    def _show_picture(self, camera: str, picture: np.ndarray | bytes) -> None:
        if not self._clients:
            return
        packed = picture if isinstance(picture, bytes) else jpeg(picture)
        message = messages.picture(self._cameras.index(camera), packed)
        for client in self._clients.values():
            client.show(f"picture {camera}", message)

    def _show_people(self) -> None:
        """Who is there, and who is in control."""
        holder = self._clients.get(self._control.holder or 0)
        text = messages.text(
            "people",
            control=None if holder is None else {"number": holder.number, "name": holder.name},
            names=[client.name for client in self._clients.values()],
        )
        for client in self._clients.values():
            client.show("people", text)

    def _log(self, level: str, text: str) -> None:
        self._tell(self._journal.add(level, text))

    def _tell(self, lines: list[Line]) -> None:
        if lines:
            text = messages.text("log", lines=lines)
            for client in self._clients.values():
                client.say(text)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is kept until it is done."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task


def _why(command: str, error: Exception) -> str:
    """Why a command was not done, in words; what is no `InputError` is in the log of the server, too."""
    if isinstance(error, InputError):
        return str(error)
    LOG.error("%s failed", command, exc_info=error)
    why = f"{type(error).__name__}: {error}"
    return f"{command} failed ({why}); use the robot's own emergency stop where it has to stop"


def _text(received: MutableMapping[str, Any]) -> str:
    """The text of a message; `InputError` for bytes."""
    text = received.get("text")
    if not isinstance(text, str) or len(text) > LARGEST:
        raise InputError(f"got a message of bytes or above {LARGEST} characters, expected a short text")
    return text
