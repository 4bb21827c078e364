"""Steps without I/O, performed by two drivers: what is written once as a generator runs in a thread or in a loop.

A generator yields what it wants done, is sent the outcome or thrown the error, and returns its result. Cancellation is
thrown in too, so that a generator can put away what it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

__all__ = ["arun_steps", "run_steps"]

StepT = TypeVar("StepT")
T = TypeVar("T")


def run_steps(steps: Generator[StepT, Any, T], perform: Callable[[StepT], Any]) -> T:
    """Perform the steps in this thread; gives what the generator returns."""
    resume, outcome = steps.send, None
    while True:
        try:
            step = resume(outcome)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            outcome = perform(step)
            resume = steps.send
        except BaseException as error:  # noqa: BLE001  (handed to the generator, which raises it if it is not meant)
            resume, outcome = steps.throw, error


async def arun_steps(steps: Generator[StepT, Any, T], perform: Callable[[StepT], Awaitable[Any]]) -> T:
    """Perform the steps in the running loop; gives what the generator returns."""
    resume, outcome = steps.send, None
    while True:
        try:
            step = resume(outcome)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            outcome = await perform(step)
            resume = steps.send
        except BaseException as error:  # noqa: BLE001  (as in `run_steps`)
            resume, outcome = steps.throw, error
