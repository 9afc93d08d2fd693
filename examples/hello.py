"""A task, a worker, a result.

In one terminal: ``hammerflow -A hello:app worker``; in another: ``python hello.py``.
"""

from hammerflow import Hammerflow

app = Hammerflow("examples")


@app.task
def add(x: int, y: int) -> int:
    return x + y


if __name__ == "__main__":
    result = add.delay(2, 3)
    print("enqueued", result.id)
    print("2 + 3 =", result.get(timeout=30))
