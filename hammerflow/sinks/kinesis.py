"""KinesisSink: events as records of a Kinesis data stream, in order for each key."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.options.checks import FLAG, duration, size, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report, SinkError
from hammerflow.sinks.drivers import import_driver, need_driver

__all__ = ["KinesisSink"]

#: Limits of a call of PutRecords, and of the key of a record.
_RECORDS, _BYTES, _KEY = 500, 5_000_000, 256
#: Seconds before what a call has not taken is sent again: the first and the longest.
_PAUSE, _LONGEST = 0.05, 1.0
#: Errors by which Kinesis refuses what it is sent, not who sends it or when.
_REFUSALS = frozenset({"ValidationException", "InvalidArgumentException"})


class KinesisSink:
    """Puts records by PutRecords, which may take some and not others, and in any order. So a call
    has at most one record of each key, and a later one is not sent before the earlier is stored.

    With ``ordered``, records are put one by one, each after the sequence number of the one before.
    """

    OPTIONS = OptionTable((
        Option("stream", text(1_000, least=1), "(required)", "The name or the ARN of the stream."),
        Option("region", text(50, least=1), "None", "By default that of AWS's settings."),
        Option("endpoint", text(1_000, least=1), "None", "Another URL than that of the region."),
        Option(
            "access_key_id", text(200, least=1), "None",
            "By default the credentials come from where AWS's libraries look: the environment, a "
            "profile, or the role of the host.",
        ),
        Option("secret_access_key", text(500, least=1), "None", "Its secret; never printed."),
        Option(
            "ordered", FLAG, "False",
            "One record a call, with SequenceNumberForOrdering: sequence numbers of a key grow.",
        ),
        Option(
            "max_record", size(1_000, 10_485_760), "1 MiB",
            "Bytes of a record with its key that the stream takes; larger events are parked.",
        ),
        Option("timeout", duration(zero=False, most=30), "10", "Seconds for a batch."),
    ))  # fmt: skip
    SECRETS = frozenset({"secret_access_key"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "stream" not in options:
            raise ConfigError(f"the sink {name} needs stream=...")
        if ("access_key_id" in options) != ("secret_access_key" in options):
            raise ConfigError(
                f"the sink {name} needs access_key_id= and secret_access_key= together"
            )
        stream = str(options["stream"])
        self._stream = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._where = {
            "region_name": options.get("region"), "endpoint_url": options.get("endpoint"),
            "aws_access_key_id": options.get("access_key_id"),
            "aws_secret_access_key": options.get("secret_access_key"),
        }  # fmt: skip
        self._is_ordered = bool(options.get("ordered", False))
        self._most = int(options.get("max_record", 1_048_576))
        self._timeout = float(options.get("timeout", 10.0))
        need_driver("boto3", "kinesis")
        self._client: Any = None
        self._last: dict[str, str] = {}  # by key, the sequence number of its last record

    def open(self) -> None:
        """Find credentials and region; the connection opens with the first call."""
        boto3 = import_driver("boto3", "kinesis")
        config = import_driver("botocore.config", "kinesis").Config(
            connect_timeout=self._timeout, read_timeout=self._timeout,
            retries={"total_max_attempts": 1},
        )  # fmt: skip
        try:
            self._client = boto3.session.Session().client("kinesis", config=config, **self._where)
        except Exception as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error
        self._last.clear()

    def send(self, messages: Sequence[Message]) -> Report:
        """Put the records, and again those that were not taken, until the time is over."""
        refused = {
            m.position: f"{_size(m)} bytes with the key are more than max_record"
            for m in messages
            if _size(m) > self._most
        }
        todo = [m for m in messages if m.position not in refused]
        delivered: set[int] = set()
        ends = time.monotonic() + self._timeout
        put: Callable[[Sequence[Message]], Mapping[int, str]] = self._put_records
        limit, pause, error = _RECORDS, _PAUSE, ""
        if self._is_ordered:
            put, limit = self._put_record, 1
        while todo and time.monotonic() < ends:
            call = self._next_call(todo, limit)
            try:
                failed = put(call)
            except _CallRefused as refusal:
                if len(call) > 1:
                    limit = 1  # to find the one at fault
                    continue
                refused[call[0].position], failed = str(refusal), {}
            except SinkError as failure:
                return Report(frozenset(delivered), refused, str(failure))
            delivered |= {m.position for m in call} - failed.keys() - refused.keys()
            todo = [m for m in todo if m.position not in delivered | refused.keys()]
            error = next(iter(failed.values()), "")
            if failed:
                time.sleep(min(pause, max(0.0, ends - time.monotonic())))
                pause = min(pause * 2, _LONGEST)
        late = f"not everything was taken within {self._timeout:g} s"
        return Report(frozenset(delivered), refused, (error or late) if todo else "")

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    # -- steps

    def _next_call(self, todo: Sequence[Message], limit: int) -> list[Message]:
        """The next records, at most one of each key: the first of those that are left."""
        found: list[Message] = []
        keys: set[str] = set()
        total, most = 0, max(_BYTES, self._most)
        for message in todo:
            if message.key in keys:
                continue
            total += _size(message)
            if found and (total > most or len(found) == limit):
                break
            keys.add(message.key)
            found.append(message)
        return found

    def _put_records(self, messages: Sequence[Message]) -> Mapping[int, str]:
        """Put records; by position, why some were not taken."""
        records = [{"Data": m.body, "PartitionKey": _key(m)} for m in messages]
        answers = self._call("put_records", Records=records)["Records"]
        return {
            message.position: f"{answer['ErrorCode']}: {answer.get('ErrorMessage', '')}"
            for message, answer in zip(messages, answers, strict=True)
            if answer.get("ErrorCode")
        }

    def _put_record(self, messages: Sequence[Message]) -> Mapping[int, str]:
        [message] = messages
        last = self._last.pop(message.key, None)
        after = {} if last is None else {"SequenceNumberForOrdering": last}
        record = {"Data": message.body, "PartitionKey": _key(message)}
        try:
            answer = self._call("put_record", **record, **after)
        except _CallRefused:
            if last is None:
                raise
            answer = self._call("put_record", **record)  # the number is of a shard that was divided
        if len(self._last) >= 10_000:
            self._last.clear()
        self._last[message.key] = answer["SequenceNumber"]
        return {}

    def _call(self, name: str, **values: Any) -> Mapping[str, Any]:
        try:
            return getattr(self._client, name)(**self._stream, **values)  # type: ignore[no-any-return]
        except Exception as error:
            answer = getattr(error, "response", None) or {}  # of a timeout it is None
            code = answer.get("Error", {}).get("Code", "")
            text = f"{type(error).__name__}: {error}"
            raise (_CallRefused if code in _REFUSALS else SinkError)(text) from error


class _CallRefused(Exception):
    """Kinesis finds something wrong with what a call holds."""


def _key(message: Message) -> str:
    """The partition key: 1 to 256 characters; a longer one by its hash."""
    if len(message.key) <= _KEY:
        return message.key or "-"
    return hashlib.sha256(message.key.encode()).hexdigest()


def _size(message: Message) -> int:
    return len(message.body) + len(_key(message).encode())
