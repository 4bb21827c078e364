"""The two ends of every admin verb. A verb is written once, as an operation; whose client it is says how it is driven.

```
client.virtual_keys.get("slug")         # AdminClient: blocks this thread
await client.virtual_keys.get("slug")   # AsyncAdminClient: the same, in the running loop
for key in client.virtual_keys.list():  # listings are iterators; `async for` in the other
```
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from portkey_router.admin.asks import Found
from portkey_router.admin.conversation import Result, conversation
from portkey_router.drive import adrive, drive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from portkey_router.admin.asks import Operation
    from portkey_router.admin.conversation import Session
    from portkey_router.drive import AsyncPort, SyncPort

__all__ = ["Async", "Listing", "Resource", "Sync", "Verb"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Sync:
    """Verbs block the calling thread."""

    def __init__(self, port: SyncPort) -> None:
        self._port = port

    def run(self, operation: Operation[Any], session: Session) -> Any:
        """What it comes to."""
        items: Iterator[Any] = drive(conversation(operation, session), self._port)
        return next(item.value for item in items if isinstance(item, Result))

    def iterate(self, operation: Operation[Any], session: Session) -> Iterator[Any]:
        """What it finds."""
        items: Iterator[Any] = drive(conversation(operation, session), self._port)
        return (item.item for item in items if isinstance(item, Found))


class Async:
    """Verbs are awaited in the running loop."""

    def __init__(self, port: AsyncPort) -> None:
        self._port = port

    async def run(self, operation: Operation[Any], session: Session) -> Any:
        """What it comes to."""
        items: AsyncIterator[Any] = adrive(conversation(operation, session), self._port)
        results = [item.value async for item in items if isinstance(item, Result)]
        return results[-1]

    async def iterate(self, operation: Operation[Any], session: Session) -> AsyncIterator[Any]:
        """What it finds."""
        items: AsyncIterator[Any] = adrive(conversation(operation, session), self._port)
        async for item in items:
            if isinstance(item, Found):
                yield item.item


M_co = TypeVar("M_co", bound=Sync | Async, covariant=True)


class Resource(Generic[M_co]):
    """One kind of object of the admin API, and its verbs."""

    def __init__(self, session: Session, end: M_co) -> None:
        self._session = session
        self._end = end

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.url})"


class _End(Generic[P, T]):
    """A method written as an operation."""

    def __init__(self, operation: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        self.operation = operation
        functools.update_wrapper(self, operation)  # type: ignore[arg-type]  # a descriptor, not a function

    def _bound(self, resource: Resource[Any], how: str) -> Any:
        @functools.wraps(self.operation)
        def verb(*args: P.args, **kwargs: P.kwargs) -> Any:
            operation = self.operation(resource, *args, **kwargs)
            return getattr(resource._end, how)(operation, resource._session)  # noqa: SLF001  (its verb)

        return verb


class Verb(_End[P, T]):
    """A verb with one result."""

    @overload
    def __get__(self, resource: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], kind: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Async], kind: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, kind: Any = None) -> Any:
        return self if resource is None else self._bound(resource, "run")


class Listing(Generic[P, T]):
    """A verb that finds objects one by one: `operation` yields them as `Found`; the type says of which kind."""

    def __init__(self, operation: Callable[Concatenate[Any, P], Operation[None]], kind: type[T]) -> None:
        self.operation = operation
        self._end: _End[P, None] = _End(operation)
        self.kind = kind
        functools.update_wrapper(self, operation)  # type: ignore[arg-type]  # a descriptor, not a function

    @overload
    def __get__(self, resource: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], kind: Any = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[Async], kind: Any = None) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, kind: Any = None) -> Any:
        return self if resource is None else self._end._bound(resource, "iterate")  # noqa: SLF001  (this module's own)

    @classmethod
    def of(cls, kind: type[T]) -> Callable[[Callable[Concatenate[Any, P], Operation[None]]], Listing[P, T]]:
        """The decorator: `@Listing.of(VirtualKey)`."""
        return lambda operation: Listing(operation, kind)
