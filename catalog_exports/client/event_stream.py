"""Reads Server-Sent Events (HTML standard, 9.2) line by line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `id` is sent back as `Last-Event-ID` after a lost connection."""

    id: str
    name: str
    data: str


class EventReader:
    """Puts the lines of a stream together to events."""

    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._data: list[str] = []

    def read(self, line: str) -> Event | None:
        """Take the next line, without its end; the event, if the line completes one."""
        if not line:
            return self._complete()
        field, _, value = line.partition(":")  # a comment has an empty name
        value = value.removeprefix(" ")
        if field == "id":
            self._id = value
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None

    def _complete(self) -> Event | None:
        event = Event(self._id, self._name or "message", "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event
