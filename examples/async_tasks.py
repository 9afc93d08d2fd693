"""Coroutines as tasks: a child runs many at once on its event loop.

In one terminal: ``hammerflow -A async_tasks:app worker --async-slots 100``; in another:
``python async_tasks.py``. Fifty waits of a fifth of a second take little more than one.
"""

import asyncio
import time

from hammerflow import Hammerflow

app = Hammerflow("examples")


@app.task
async def fetch(page: int) -> int:
    await asyncio.sleep(0.2)  # stands for a slow server
    return page * page


async def main() -> None:
    begun = time.monotonic()
    results = [await fetch.adelay(page) for page in range(50)]
    squares = await asyncio.gather(*(result.aget(timeout=30) for result in results))
    print("sum of squares:", sum(squares))
    print("at the same time:", time.monotonic() - begun < 50 * 0.2)


if __name__ == "__main__":
    asyncio.run(main())
