"""Decomposition: a job breaks itself down into steps, each waiting for the one before.

In one terminal: ``hammerflow -A decomposition:app worker``; in another:
``python decomposition.py``.
A child may depend on elder siblings, on its parent and on any job elsewhere.
"""

from collections.abc import Iterator

from hammerflow import Hammerflow, JobFailed, Signature, current_job

app = Hammerflow("examples")

STEPS = {
    "etl_pipeline": [("extract", "orders"), ("transform", "rules"), ("load", "warehouse")],
    "ml_training": [("preprocess", "features"), ("train", "forest"), ("validate", "test split")],
}


@app.task
def step(name: str, what: str) -> str:
    return f"{name} {what}"


@app.spawner(max_spawn_count=10, max_attempts=1)
def decompose(kind: str) -> Iterator[Signature]:
    if kind not in STEPS:
        raise ValueError(f"unknown workflow type: {kind}")
    before = current_job().id
    for name, what in STEPS[kind]:
        child = step.s(name, what).depends_on(before)
        yield child
        before = child


if __name__ == "__main__":
    for kind in STEPS:
        job = decompose.delay(kind)
        job.wait(timeout=30)
        steps = [child.get(timeout=30) for child in job.children()]
        print(f"{kind}: {', then '.join(steps)}")
        ended = [child.job().finished_at for child in job.children()]
        print("  in that order:", ended == sorted(ended))
    try:
        decompose.delay("cooking").get(timeout=30)
    except JobFailed as error:
        print("refused:", error.message)
