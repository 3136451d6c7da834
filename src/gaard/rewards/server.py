"""A reward that lives elsewhere: an HTTP server that scores one batch a call."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import sleep as pause
from typing import TYPE_CHECKING, Any

from gaard.errors import ConfigError, RewardError
from gaard.extras import need
from gaard.messages import shortened, warn
from gaard.reward_names import check_server
from gaard.rewards.answer import checked_answer
from gaard.rewards.in_run import RUN_KEYWORDS
from gaard.rewards.protocol import MESSAGES, spoken
from gaard.version import __version__

if TYPE_CHECKING:
    import httpx2

TOKEN = "GAARD_REWARD_TOKEN"
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds before the second try, doubled with each up to the longest
LONGEST_ANSWER = 2**24  # bytes
MOVED, MOVES = (301, 302, 307, 308), 3  # redirects that are followed, and how many in a row


class _NotNow(Exception):
    """A try that failed and is worth another."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after  # seconds that the server asks to wait


class RewardServer:
    """A reward function that asks an HTTP server, with one POST a batch.

    The server gets ``{"prompts": [...], "completions": [...], "columns": {name: [...]}}`` and answers
    ``{"rewards": [...]}``, one number or null a completion. Prompts and completions are texts; where the dataset's
    prompts are conversations, they are lists of messages, as a reward function of one's own gets them.

    Args:
        url: Of the server, http or https. It is kept in records: secrets do not belong into it.
        timeout: Seconds for one try, from the request to the whole answer.
        retries: Further tries after no connection, a connection that breaks, no answer in time, or a status of 429 or
            500 and above. The first comes after a second, each other after twice the time; ``Retry-After`` wins.
        token_variable: The environment variable that holds a secret to send along; by default ``GAARD_REWARD_TOKEN``,
            if that is set. It is read at every call, and kept and shown nowhere.
        token_header: The header that takes the secret: ``Authorization`` as ``Bearer SECRET``, others as it is.

    Attributes:
        name: Host and path, for metrics and messages.

    Raises:
        MissingExtra: There is no httpx2, which the extra ``train`` brings.
        ConfigError: An address, number or variable that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 120.0,
        retries: int = 5,
        token_variable: str | None = None,
        token_header: str = "Authorization",
    ) -> None:
        need("train", "a reward server", "httpx2")
        check_server(url)
        if not (isinstance(timeout, (int, float)) and math.isfinite(timeout) and timeout > 0):
            raise ConfigError(f"timeout is {timeout!r}: give the seconds for one try, more than 0")
        if not isinstance(retries, int) or retries < 0:
            raise ConfigError(f"retries is {retries!r}: give the number of further tries, 0 or more")
        self.url, self.timeout, self.retries = url, timeout, retries
        self.token_variable, self.token_header = token_variable, token_header
        self.name = url.partition("://")[2].rstrip("/")
        self._client: httpx2.Client | None = None
        self._headers()  # what is wrong with the secret is told before anything is sampled

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] = (),
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """Ask the server about a batch.

        Args:
            prompts: N texts.
            completions: N texts.
            completion_ids: Not sent: another tokenizer has other ids.
            **columns: Dataset columns, each with N entries that JSON knows.

        Returns:
            N finite floats; None where the server does not score.

        Raises:
            RewardError: The server cannot be reached, refuses, or answers anything but N finite numbers or null; or a
                column cannot be sent.
        """
        sent = {name: list(column) for name, column in columns.items() if name not in (*RUN_KEYWORDS, MESSAGES)}
        asked: dict[str, Any] = {"prompts": list(prompts), "completions": list(completions)}
        if MESSAGES in columns:
            asked = {"prompts": list(columns[MESSAGES]), "completions": spoken(completions)}
        content = self._answer(self._as_json({**asked, "columns": sent}))
        try:
            answer = json.loads(content)
        except ValueError:
            raise self._error(f"answered what is not JSON: {self._quoted(content)}") from None
        if not isinstance(answer, Mapping) or not isinstance(answer.get("rewards"), list):
            raise self._error(f'answered {self._quoted(content)}: it has to be {{"rewards": [...]}}')
        return checked_answer(answer["rewards"], self.name, asked)

    def _as_json(self, body: dict[str, Any]) -> bytes:
        """What is sent."""
        for name, column in body["columns"].items():
            try:
                json.dumps(column)
            except (TypeError, ValueError) as error:
                raise self._error(
                    f"cannot be sent the dataset column {name!r} as JSON ({error}): make it numbers and texts, or take "
                    "it out"
                ) from None
        return json.dumps(body).encode()

    def _answer(self, body: bytes) -> bytes:
        """The server's answer, after as many tries as it takes and as there are."""
        wait = FIRST_WAIT
        for left in range(self.retries, -1, -1):
            try:
                return self._try(body)
            except _NotNow as problem:
                if not left:
                    tries = f"tried {self.retries + 1} times" if self.retries else "tried once"
                    raise self._error(f"{problem}; {tries}: see that it runs, or raise timeout or retries") from None
                seconds = wait if problem.after is None else problem.after
                if seconds > LONGEST_WAIT:  # the server asks for that
                    raise self._error(f"{problem} and asks to wait {seconds:.0f} s: try again then") from None
                warn(f"reward server {self.name} {problem}: trying again in {seconds:.3g} s")
            pause(seconds)
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError("the last try returns or raises")

    def _try(self, body: bytes) -> bytes:
        """One try: the body of an answer of status 200."""
        import httpx2

        self._client = self._client or httpx2.Client(follow_redirects=False)
        url, deadline = httpx2.URL(self.url), time.monotonic() + self.timeout
        try:
            for _ in range(MOVES + 1):
                left = max(0.001, deadline - time.monotonic())  # 0 would not be a time-out, but no waiting at all
                with self._client.stream("POST", url, content=body, headers=self._headers(), timeout=left) as response:
                    content = self._read(response, deadline)
                if response.status_code not in MOVED:
                    return self._accepted(response, content)
                url = self._moved(url, response)
        except httpx2.TimeoutException:
            raise _NotNow(f"gave no answer within {self.timeout:g} s") from None
        except httpx2.TransportError as error:
            raise _NotNow(f"cannot be reached ({type(error).__name__}: {self._open(str(error))})") from None
        except httpx2.DecodingError as error:
            raise self._error(f"sent an answer that cannot be unpacked: {error}") from None
        raise self._error(f"sent the request to another path more than {MOVES} times in a row")

    def _read(self, response: "httpx2.Response", deadline: float) -> bytes:
        """The body, as long as time and size allow: a server may send it drop by drop, or without end."""
        content = b""
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > LONGEST_ANSWER:
                raise self._error(f"answered more than {LONGEST_ANSWER:,} bytes: it has to be one number a completion")
            if time.monotonic() > deadline:
                raise _NotNow(f"gave no whole answer within {self.timeout:g} s")
        return content

    def _accepted(self, response: "httpx2.Response", content: bytes) -> bytes:
        """The body, unless the status says that it is no answer."""
        status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code == 429 or response.status_code >= 500:
            raise _NotNow(f"answered with status {status}", _seconds(response.headers.get("Retry-After")))
        if response.status_code != 200:
            told = f" ({self._quoted(content)})" if content else ""
            raise self._error(f"answered with status {status}{told}: it has to be 200; see its address and its token")
        return content

    def _moved(self, url: "httpx2.URL", response: "httpx2.Response") -> "httpx2.URL":
        """Where a redirect leads; to another server texts and secret are not sent."""
        to = url.join(response.headers.get("Location", ""))
        if (to.scheme, to.host, to.port) != (url.scheme, url.host, url.port):
            place = f"{to.scheme}://{to.netloc.decode(errors='replace').rpartition('@')[2]}"
            raise self._error(f"sends the request on to {place}, which is another server: if that is right, name it")
        return to

    def _token(self) -> str:
        """The secret; empty if there is none."""
        variable = self.token_variable or TOKEN
        token = os.environ.get(variable, "").strip()
        if self.token_variable and not token:
            raise ConfigError(f"the environment variable {variable} is not set: put the server's token there")
        if not token.isascii() or not token.isprintable():
            raise ConfigError(f"the environment variable {variable} holds what cannot stand in a header: see its value")
        return token

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"gaard/{__version__}"}
        if token := self._token():
            bearer = self.token_header.lower() == "authorization" and " " not in token
            headers[self.token_header] = f"Bearer {token}" if bearer else token
        return headers

    def _open(self, text: str) -> str:
        """A text without the secret."""
        token = self._token()
        return text.replace(token, "***") if token else text

    def _quoted(self, content: bytes) -> str:
        return shortened(self._open(content.decode(errors="replace")), 200)

    def _error(self, what: str) -> RewardError:
        return RewardError(f"reward server {self.name} {what}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_client": None}  # connections stay in their process

    def __repr__(self) -> str:
        return f"RewardServer({self.url!r})"


def _seconds(retry_after: str | None) -> float | None:
    """What ``Retry-After`` says: seconds, or a date; None for anything else."""
    try:
        if retry_after is None or retry_after.strip().isdecimal():
            return None if retry_after is None else float(retry_after)
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
