"""Canvas: chains, groups and chords, as Celery's users know them.

In one terminal: ``hammerflow -A canvas:app worker``; in another: ``python canvas.py``.
"""

from uuid import uuid4

from hammerflow import Hammerflow, chain, chord, current_job, group

app = Hammerflow("examples")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def mul(x: int, y: int) -> int:
    return x * y


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(max_attempts=1)
def divide(x: int, y: int) -> float:
    return x / y


@app.task
def complain(job_id: str) -> str:
    return f"{app.job(job_id).errors[-1].message}"


@app.task
def factorial(n: int, so_far: int = 1) -> int:
    if n > 1:
        current_job().replace(factorial.s(n - 1, so_far * n))
    return so_far


if __name__ == "__main__":
    print("chain:", chain(add.s(4, 4), mul.s(8), mul.s(10)).delay().get(timeout=30))
    print("group:", group(add.s(i, i) for i in range(5)).delay().get(timeout=30))
    print("chord:", chord((add.s(i, i) for i in range(100)), total.s()).delay().get(timeout=30))
    print("chunks:", add.chunks(zip(range(6), range(6), strict=True), 2).delay().get(timeout=30))
    tree = add.s(1, 1) | group(add.s(1), mul.s(5)) | total.s() | add.si(40, 2)
    print("with |:", tree.delay().get(timeout=30))
    key = uuid4()
    errback = complain.s().set(job_id=key)
    divide.s(1, 0).on_error(errback).delay()
    print("errback:", app.result(key).get(timeout=30))
    print("replaced:", factorial.delay(10).get(timeout=30))
